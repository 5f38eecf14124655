/**
 * History and log held against each other once, so that every check is a single pass over columns.
 */
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import type { FinalState, PartitionState } from "../FinalState.ts"
import { type HistoryIndex, placeOf } from "../HistoryIndex.ts"
import { keyOf, type TransactionHistory } from "../TransactionHistory.ts"
import { makeWire, type Wire } from "./wire.ts"

/** What became of a transaction, as far as its program can know: C, A and U of the definitions. */
export const unknown = 0
export const committed = 1
export const aborted = 2

/** How a batch counts, by the next end marker of its producer. */
export const outside = 0
export const committedBatch = 1
export const abortedBatch = 2
export const openBatch = 3

/** A record that is none of the history's. */
export const noSlot = -1

export interface PartitionEvidence {
  readonly name: string
  readonly state: PartitionState
  /** Its number among the history's places. */
  readonly place: number
  /** Per batch. */
  readonly decisions: Uint8Array
  /** Per record. */
  readonly slots: Int32Array
  /** The row after the last record of a batch. */
  readonly endOf: (batch: number) => number
  /** The batch in which an offset is, or the last one before it. */
  readonly batchAt: (offset: number) => number
  /** The row of the record at an offset, or -1. */
  readonly recordAt: (offset: number) => number
}

/** Bounds that depend on how a run is made. */
export interface Settings {
  /** The shortest pause between two attempts of one operation. */
  readonly backoffMinMillis: number
  /** The transaction timeout of the run's producers. */
  readonly transactionTimeoutMillis: number
  /** The input of a pipeline: which group reads which topic, and which topics it writes. */
  readonly pipeline: {
    readonly group: string
    readonly inputTopic: string
    readonly outputTopics: ReadonlyArray<string>
  } | null
}

export interface Evidence {
  readonly history: HistoryIndex
  readonly state: FinalState
  readonly settings: Settings
  readonly wire: Wire | null
  readonly partitions: ReadonlyArray<PartitionEvidence>
  /** Per transaction: C, A or U, after the promotion of what is visible. */
  readonly outcomes: Uint8Array
  /** Per slot: how often a reader under read_committed is given it, up to 255. */
  readonly visible: Uint8Array
}

export const makeEvidence = (
  history: HistoryIndex,
  state: FinalState,
  settings: Settings,
  entries: ReadonlyArray<FaultProxyWireLog.Entry> | null
): Evidence => {
  const wire = entries === null ? null : makeWire(history, entries)
  const partitions = state.partitions.map((partition) => weigh(history, state, partition))
  const visible = new Uint8Array(history.slots.length)
  for (const partition of partitions) count(partition, visible)
  const outcomes = new Uint8Array(history.transactions.length)
  for (const transaction of history.transactions) {
    outcomes[transaction.row] = outcomeOf(transaction, wire, visible)
  }
  return { history, state, settings, wire, partitions, outcomes, visible }
}

const weigh = (
  history: HistoryIndex,
  { run }: FinalState,
  state: PartitionState
): PartitionEvidence => {
  const { batches, partition, records, topic } = state
  const endOf = (batch: number): number =>
    batch + 1 < batches.length ? batches.firstRecord[batch + 1]! : records.length
  return {
    name: `${topic}-${partition}`,
    state,
    place: placeOf(history, topic, partition),
    decisions: decide(state),
    slots: slotsOf(history, run, state),
    endOf,
    batchAt: (offset) => Math.max(0, lastAtOrBefore(batches.baseOffset, batches.length, offset)),
    recordAt: (offset) => {
      const row = lastAtOrBefore(records.offset, records.length, offset)
      return row >= 0 && records.offset[row] === offset ? row : -1
    }
  }
}

/** The rule of Kafka's log: a batch counts by the next end marker of its producer id. */
const decide = ({ batches }: PartitionState): Uint8Array => {
  const decisions = new Uint8Array(batches.length)
  const next = new Map<number, number>()
  for (let batch = batches.length - 1; batch >= 0; batch--) {
    const kind = batches.kind[batch]!
    const producer = batches.producerId[batch]!
    if (kind === 2) next.set(producer, committedBatch)
    if (kind === 3) next.set(producer, abortedBatch)
    if (kind === 1) decisions[batch] = next.get(producer) ?? openBatch
  }
  return decisions
}

const slotsOf = (
  { byNumber, transactions }: HistoryIndex,
  run: number,
  { records }: PartitionState
): Int32Array => {
  const slots = new Int32Array(records.length).fill(noSlot)
  let lastKey = -1
  let last: TransactionHistory | undefined
  for (let record = 0; record < records.length; record++) {
    if (records.problem[record] !== 0 || records.run[record] !== run) continue
    const key = keyOf(records.process[record]!, records.transaction[record]!)
    if (key !== lastKey) {
      lastKey = key
      last = transactions[byNumber.get(key) ?? -1]
    }
    const at = records.index[record]!
    if (last !== undefined && at < last.count) slots[record] = last.firstSlot + at
  }
  return slots
}

const lastAtOrBefore = (
  sorted: { readonly [index: number]: number },
  length: number,
  value: number
): number => {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Whether a reader under read_committed is given the records of a batch. */
export const isVisible = (partition: PartitionEvidence, batch: number, record: number): boolean => {
  const decision = partition.decisions[batch]!
  return (decision === outside || decision === committedBatch) &&
    partition.state.records.offset[record]! < partition.state.lastStableOffset
}

/** Calls back for every record of a partition, in the order of the log. */
export const forEachRecord = (
  partition: PartitionEvidence,
  use: (record: number, batch: number) => void
): void => {
  const { batches } = partition.state
  for (let batch = 0; batch < batches.length; batch++) {
    const end = partition.endOf(batch)
    for (let record = batches.firstRecord[batch]!; record < end; record++) use(record, batch)
  }
}

const count = (partition: PartitionEvidence, visible: Uint8Array): void =>
  forEachRecord(partition, (record, batch) => {
    const slot = partition.slots[record]!
    if (slot === noSlot || !isVisible(partition, batch, record)) return
    if (visible[slot]! < 255) visible[slot]! += 1
  })

const outcomeOf = (
  transaction: TransactionHistory,
  wire: Wire | null,
  visible: Uint8Array
): number => {
  const said = saidOutcome(transaction, wire)
  if (said !== unknown) return said
  for (let at = 0; at < transaction.count; at++) {
    if (visible[transaction.firstSlot + at]! > 0) return committed
  }
  return unknown
}

const saidOutcome = (transaction: TransactionHistory, wire: Wire | null): number => {
  const { commitAskedAt, ended, last } = transaction
  if (ended === "commit" || last?.outcome === "Committed") return committed
  if (ended === "abort" || last?.outcome === "Aborted") return aborted
  const commitSent = wire !== null && wire.commitsOf(transaction).length > 0
  return commitAskedAt === null && !commitSent ? aborted : unknown
}

/** The transaction of a slot. */
export const transactionOf = ({ history }: Evidence, slot: number): TransactionHistory =>
  history.transactions[history.slots.transaction[slot]!]!
