/** Consume, transform, produce: positions of groups against the outputs: S4, E1-E6. */
import { keyOf, nameOf, type Position, type TransactionHistory } from "../TransactionHistory.ts"
import * as Columns from "./columns.ts"
import {
  aborted,
  committed,
  type Evidence,
  forEachRecord,
  isVisible,
  noSlot,
  type PartitionEvidence,
  transactionOf
} from "./evidence.ts"
import type { Found } from "./finding.ts"

const nameOfPlace = (
  { group, partition, topic }: Pick<Position, "group" | "partition" | "topic">
) => `${group} on ${topic}-${partition}`

interface Reach {
  readonly next: number
  readonly transaction: TransactionHistory
}

/** The furthest position of the transactions of one outcome, by group and partition. */
const furthest = (
  { history, outcomes }: Evidence,
  counts: (outcome: number) => boolean
): ReadonlyMap<string, Reach> => {
  const reached = new Map<string, Reach>()
  for (const transaction of history.transactions) {
    if (!counts(outcomes[transaction.row]!)) continue
    for (const position of transaction.positions) {
      const key = nameOfPlace(position)
      const before = reached.get(key)
      if (before === undefined || position.next > before.next) {
        reached.set(key, { next: position.next, transaction })
      }
    }
  }
  return reached
}

/**
 * S4, torn offsets: outputs of T are visible and the group's position is before T's; or the
 * position is T's and its outputs are missing. Where the position is further than every committed
 * one, it is that of a transaction that is not committed.
 */
export const tornOffsets = (evidence: Evidence, found: Found): void => {
  const done = furthest(evidence, (outcome) => outcome === committed)
  const possible = furthest(evidence, (outcome) => outcome !== aborted)
  const refused = furthest(evidence, (outcome) => outcome === aborted)
  for (const row of evidence.state.groups) {
    const key = nameOfPlace(row)
    const least = done.get(key)
    if (least !== undefined && row.offset < least.next) {
      found({
        what: `${nameOf(least.transaction)} is committed and moved ${key} to ${least.next}, and ` +
          `the group is at ${row.offset}`,
        transaction: least.transaction
      })
    }
    const most = possible.get(key)?.next ?? 0
    const other = refused.get(key)
    if (other === undefined || row.offset <= most || row.offset > other.next) continue
    found({
      what: `${key} is at ${row.offset}, beyond ${most}: a position of a transaction that is ` +
        `aborted, as ${nameOf(other.transaction)}`,
      transaction: other.transaction
    })
  }
  positionsWithoutOutputs(evidence, found)
}

/** A transaction whose outcome nobody knows, whose position is the group's, and without outputs. */
const positionsWithoutOutputs = (evidence: Evidence, found: Found): void => {
  const { history, outcomes, state } = evidence
  const done = furthest(evidence, (outcome) => outcome === committed)
  for (const transaction of history.transactions) {
    if (outcomes[transaction.row] !== 0 || transaction.count === 0) continue
    for (const position of transaction.positions) {
      const key = nameOfPlace(position)
      const at = state.groups.find((row) => nameOfPlace(row) === key)?.offset ?? -1
      if (at !== position.next || at <= (done.get(key)?.next ?? -1)) continue
      found({
        what: `${key} is at ${at}, which only ${nameOf(transaction)} has committed, and its ` +
          "outputs are missing",
        transaction
      })
    }
  }
}

interface Output {
  readonly partition: PartitionEvidence
  readonly record: number
  readonly transaction: TransactionHistory
}

/** Calls back for every visible record that was made from an input. */
const forEachOutput = (evidence: Evidence, use: (output: Output) => void): void => {
  for (const partition of evidence.partitions) {
    const { records } = partition.state
    forEachRecord(partition, (record, batch) => {
      const slot = partition.slots[record]!
      if (slot === noSlot || records.inputPartition[record]! < 0) return
      if (!isVisible(partition, batch, record)) return
      use({ partition, record, transaction: transactionOf(evidence, slot) })
    })
  }
}

/** E1, input processed twice: outputs of two transactions from one input are visible. */
export const processedTwice = (evidence: Evidence, found: Found): void => {
  const makers = Columns.byOffset()
  const { transactions } = evidence.history
  forEachOutput(evidence, ({ partition, record, transaction }) => {
    const { inputOffset, inputPartition, offset } = partition.state.records
    const made = makers.get(inputPartition[record]!, inputOffset[record]!)
    if (made === 0) makers.set(inputPartition[record]!, inputOffset[record]!, transaction.row + 1)
    const before = transactions[made - 1]
    if (before === undefined || before === transaction) return
    found({
      what: `input ${inputPartition[record]} at ${inputOffset[record]} was processed by ` +
        `${nameOf(before)} and by ${nameOf(transaction)}`,
      transaction,
      partition,
      offset: offset[record]!
    })
  })
}

/** The committed position of a pipeline's group in a partition of its input. */
const positionIn = ({ settings, state }: Evidence, partition: number): number => {
  const { pipeline } = settings
  return state.groups.find((row) =>
    row.group === pipeline?.group && row.topic === pipeline.inputTopic &&
    row.partition === partition
  )?.offset ?? 0
}

/** E2, input skipped: a visible input before the group's position has no output. */
export const skippedInputs = (evidence: Evidence, found: Found): void => {
  const { pipeline } = evidence.settings
  if (pipeline === null) return
  const done = Columns.byOffset()
  forEachOutput(evidence, ({ partition, record }) => {
    const { inputOffset, inputPartition } = partition.state.records
    done.set(inputPartition[record]!, inputOffset[record]!, 1)
  })
  for (const partition of evidence.partitions) {
    if (partition.state.topic !== pipeline.inputTopic) continue
    const number = partition.state.partition
    const position = positionIn(evidence, number)
    forEachRecord(partition, (record, batch) => {
      const offset = partition.state.records.offset[record]!
      if (offset >= position || !isVisible(partition, batch, record)) return
      if (done.get(number, offset) === 1) return
      const what = `input ${number} at ${offset} is before the group's position ${position}, and ` +
        "has no output"
      found({ what, partition, offset })
    })
  }
}

/** E3, outputs ahead of offsets: an output is visible whose input is not before the position. */
export const outputsAhead = (evidence: Evidence, found: Found): void => {
  if (evidence.settings.pipeline === null) return
  forEachOutput(evidence, ({ partition, record, transaction }) => {
    const { inputOffset, inputPartition, offset } = partition.state.records
    const position = positionIn(evidence, inputPartition[record]!)
    if (inputOffset[record]! < position) return
    found({
      what: `an output of input ${inputPartition[record]} at ${inputOffset[record]} is visible, ` +
        `and the group's position is ${position}`,
      transaction,
      partition,
      offset: offset[record]!
    })
  })
}

/** E4, offset regression: a group's committed position goes back. */
export const regressions = ({ history }: Evidence, found: Found): void => {
  const last = new Map<string, number>()
  for (const sample of [...history.groupOffsets].sort((one, other) => one.t - other.t)) {
    const key = nameOfPlace(sample)
    const before = last.get(key) ?? -1
    last.set(key, sample.offset)
    if (sample.offset < before) {
      found({ what: `the position of ${key} went back from ${before} to ${sample.offset}` })
    }
  }
}

/** E5, zombie commit: two sessions have both committed an input. */
export const zombieCommits = ({ history, outcomes }: Evidence, found: Found): void => {
  const ranges = new Map<string, Array<Position & { readonly by: TransactionHistory }>>()
  for (const by of history.transactions) {
    if (outcomes[by.row] !== committed) continue
    for (const position of by.positions) {
      if (position.from < 0) continue
      const key = nameOfPlace(position)
      const known = ranges.get(key)
      if (known === undefined) ranges.set(key, [{ ...position, by }])
      else known.push({ ...position, by })
    }
  }
  for (const [key, committedRanges] of ranges) {
    committedRanges.sort((one, other) => one.from - other.from)
    let last = committedRanges[0]!
    for (const range of committedRanges.slice(1)) {
      const isOther = keyOf(range.by.process, range.by.session) !==
          keyOf(last.by.process, last.by.session) || range.member !== last.member
      if (range.from < last.next && isOther) {
        found({
          what: `${nameOf(last.by)} and ${nameOf(range.by)}, of two owners, have both committed ` +
            `${key} from ${range.from} on`,
          transaction: range.by
        })
      }
      if (range.next > last.next) last = range
    }
  }
}

/** E6, aggregate drift: a sum over the input is not what the application's is. */
export const aggregateDrifts = ({ state }: Evidence, found: Found): void => {
  for (const { actual, expected, name } of state.aggregates) {
    if (actual !== expected) found({ what: `${name} is ${actual}, and must be ${expected}` })
  }
}
