/** What readers under read_committed are given, against what programs were told: S1-S3, S5, S10. */
import { sentFlag } from "../HistoryIndex.ts"
import { nameOf, type TransactionHistory } from "../TransactionHistory.ts"
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

/** Where a record is in the log, whether visible or not: for the report of an offence alone. */
const placesOf = (
  { partitions }: Evidence,
  slot: number
): ReadonlyArray<{ readonly partition: PartitionEvidence; readonly offset: number }> =>
  partitions.flatMap((partition) => {
    const found: Array<{ readonly partition: PartitionEvidence; readonly offset: number }> = []
    for (let record = 0; record < partition.slots.length; record++) {
      if (partition.slots[record] === slot) {
        found.push({ partition, offset: partition.state.records.offset[record]! })
      }
    }
    return found
  })

/** Scanning the log for an offence's place is for the first few: a broken log has millions. */
const shownMax = 20

const locator = (evidence: Evidence) => {
  let left = shownMax
  return (slot: number) => left-- > 0 ? placesOf(evidence, slot) : []
}

const slotsOf = ({ count, firstSlot }: TransactionHistory) =>
  Array.from({ length: count }, (_, at) => firstSlot + at)

const isSent = ({ history }: Evidence, slot: number): boolean =>
  (history.slots.flags[slot]! & sentFlag) !== 0

/** S1, lost write: o(T) = C, and a record that T sent is not in the committed log. */
export const lostWrites = (evidence: Evidence, found: Found): void => {
  const locate = locator(evidence)
  const { outcomes, visible } = evidence
  for (let slot = 0; slot < visible.length; slot++) {
    if (visible[slot]! > 0 || !isSent(evidence, slot)) continue
    const transaction = transactionOf(evidence, slot)
    if (outcomes[transaction.row] !== committed) continue
    const at = slot - transaction.firstSlot
    const place = locate(slot)[0]
    const acked = acknowledgedPlace(evidence, slot)
    found({
      what: `${nameOf(transaction)} is committed, and its record ${at} is ` +
        (place === undefined
          ? "nowhere in the log"
          : "in the log, but no reader under read_committed is given it"),
      transaction,
      partition: place?.partition ?? acked?.partition,
      offset: place?.offset ?? acked?.offset
    })
  }
}

const acknowledgedPlace = ({ history, partitions }: Evidence, slot: number) => {
  const { ackOffset, ackPlace, flags } = history.slots
  if ((flags[slot]! & 2) === 0) return undefined
  const partition = partitions.find(({ place }) => place === ackPlace[slot])
  return partition === undefined ? undefined : { partition, offset: ackOffset[slot]! }
}

/** S2, aborted read (G1a): o(T) = A, and a record of T is in the committed log or in a poll. */
export const abortedReads = (evidence: Evidence, found: Found): void => {
  const locate = locator(evidence)
  const { outcomes, visible } = evidence
  for (let slot = 0; slot < visible.length; slot++) {
    if (visible[slot] === 0) continue
    const transaction = transactionOf(evidence, slot)
    if (outcomes[transaction.row] !== aborted) continue
    const place = locate(slot)[0]
    const at = slot - transaction.firstSlot
    found({
      what: `${nameOf(transaction)} is aborted, and readers are given its record ${at}`,
      transaction,
      ...place
    })
  }
  abortedPolls(evidence, found)
}

const abortedPolls = ({ history, outcomes, partitions }: Evidence, found: Found): void => {
  const { polled } = history
  for (const [member, consumptions] of history.consumptions) {
    for (const consumption of consumptions) {
      if (consumption._tag === "move" || !consumption.event.committedOnly) continue
      const { partition, topic } = consumption.event
      for (let at = 0; at < consumption.rows; at++) {
        const row = consumption.firstRow + at
        const key = polled.process[row]! * 2 ** 32 + polled.transaction[row]!
        const transaction = history.transactions[history.byNumber.get(key) ?? -1]
        if (transaction === undefined || outcomes[transaction.row] !== aborted) continue
        found({
          what: `${nameOf(transaction)} is aborted, and ${member} was given its record ` +
            `${polled.index[row]} of ${topic}-${partition}`,
          transaction,
          partition: partitions.find(({ state }) =>
            state.topic === topic && state.partition === partition
          ),
          offset: polled.offset[row]!
        })
      }
    }
  }
}

/** S3, torn transaction: one record of T is in the committed log, and another one is not. */
export const tornTransactions = (evidence: Evidence, found: Found): void => {
  const { history, visible } = evidence
  const locate = locator(evidence)
  for (const transaction of history.transactions) {
    let seen = 0
    for (let at = 0; at < transaction.count; at++) {
      if (visible[transaction.firstSlot + at]! > 0) seen += 1
    }
    if (seen === 0 || seen === transaction.count) continue
    const missing = slotsOf(transaction).find((slot) => visible[slot] === 0) ?? 0
    const present = slotsOf(transaction).find((slot) => visible[slot]! > 0) ?? 0
    found({
      what: `of the ${transaction.count} records of ${nameOf(transaction)} ${seen} are visible; ` +
        `record ${missing - transaction.firstSlot} is not`,
      transaction,
      ...locate(missing)[0] ?? locate(present)[0]
    })
  }
}

/** S5, duplicate: a record is in the committed log twice or more, in whichever partitions. */
export const duplicates = (evidence: Evidence, found: Found): void => {
  const locate = locator(evidence)
  const { visible } = evidence
  for (let slot = 0; slot < visible.length; slot++) {
    if (visible[slot]! < 2) continue
    const transaction = transactionOf(evidence, slot)
    const places = locate(slot)
    found({
      what: `record ${slot - transaction.firstSlot} of ${nameOf(transaction)} is visible ` +
        `${visible[slot]} times: ` +
        places.map(({ offset, partition }) => `${partition.name} at ${offset}`).join(", "),
      transaction,
      ...places.at(-1)
    })
  }
}

/**
 * S10, foreign or corrupt value: its checksum is wrong, its run is not this one, or nobody sent
 * it.
 */
export const strangers = (evidence: Evidence, found: Found): void => {
  const { history, partitions, state } = evidence
  for (const partition of partitions) {
    const { records } = partition.state
    forEachRecord(partition, (record, batch) => {
      const slot = partition.slots[record]!
      if (slot !== noSlot && isSent(evidence, slot) && isOwn(evidence, partition, record)) return
      const whose = `record ${records.index[record]} of transaction ` +
        `${records.process[record]}/${records.transaction[record]}`
      const what = records.problem[record] === 1
        ? "a value without a stamp"
        : records.problem[record] === 2
        ? "a corrupt value"
        : records.run[record] !== state.run
        ? `a record of run ${records.run[record]}`
        : slot !== noSlot && isSent(evidence, slot)
        ? `${whose}, whose stamp does not agree with its history`
        : `${whose}, which nobody sent`
      found({
        what: `${what}${isVisible(partition, batch, record) ? ", visible" : ""}`,
        transaction: slot === noSlot
          ? undefined
          : history.transactions[history.slots.transaction[slot]!],
        partition,
        offset: records.offset[record]!
      })
    })
  }
}

/** Whether what a stamp says besides its name is what the history says. */
const isOwn = (evidence: Evidence, { slots, state }: PartitionEvidence, record: number) => {
  const transaction = transactionOf(evidence, slots[record]!)
  return state.records.session[record] === transaction.session &&
    state.records.count[record] === transaction.count
}
