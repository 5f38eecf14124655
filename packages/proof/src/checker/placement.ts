/**
 * Where records are: against acknowledgements, polls, and the order in which they were sent: S6,
 * S7, S9.
 */
import { acknowledgedFlag } from "../HistoryIndex.ts"
import { keyOf, nameOf } from "../TransactionHistory.ts"
import {
  aborted,
  type Evidence,
  forEachRecord,
  noSlot,
  type PartitionEvidence,
  transactionOf
} from "./evidence.ts"
import type { Found } from "./finding.ts"

/**
 * The acknowledged slots whose record is not where it was acknowledged, one pass over the log. What
 * retention has deleted since is left out.
 */
const misplaced = ({ history, partitions }: Evidence): ReadonlyArray<number> => {
  const { ackOffset, ackPlace, flags, length } = history.slots
  const there = new Uint8Array(length)
  const starts = new Map<number, number>()
  for (const partition of partitions) {
    starts.set(partition.place, partition.state.startOffset)
    const { offset } = partition.state.records
    for (let record = 0; record < partition.slots.length; record++) {
      const slot = partition.slots[record]!
      if (slot === noSlot) continue
      if (ackPlace[slot] === partition.place && ackOffset[slot] === offset[record]) there[slot] = 1
    }
  }
  const found: Array<number> = []
  for (let slot = 0; slot < length; slot++) {
    if ((flags[slot]! & acknowledgedFlag) === 0 || there[slot] === 1) continue
    const start = starts.get(ackPlace[slot]!)
    // A topic that was not read says nothing about its acknowledgements.
    if (start !== undefined && ackOffset[slot]! >= start) found.push(slot)
  }
  return found
}

const partitionAt = ({ partitions }: Evidence, place: number): PartitionEvidence | undefined =>
  partitions.find((partition) => partition.place === place)

const recordName = (partition: PartitionEvidence, record: number): string => {
  const { records } = partition.state
  return records.problem[record] === 0
    ? `record ${records.index[record]} of transaction ` +
      `${records.process[record]}/${records.transaction[record]}`
    : "a value that is none of the run's"
}

/** S7, false ack: send.ok(tp, off, v), o(T) is not A, and the log has not v at (tp, off). */
export const falseAcks = (evidence: Evidence, found: Found): void => {
  const { ackOffset, ackPlace } = evidence.history.slots
  for (const slot of misplaced(evidence)) {
    const transaction = transactionOf(evidence, slot)
    if (evidence.outcomes[transaction.row] === aborted) continue
    const partition = partitionAt(evidence, ackPlace[slot]!)
    const offset = ackOffset[slot]!
    const record = partition?.recordAt(offset) ?? -1
    const there = partition === undefined || record < 0
      ? "no record is"
      : `${recordName(partition, record)} is`
    found({
      what:
        `record ${slot - transaction.firstSlot} of ${nameOf(transaction)} was acknowledged at ` +
        `${partition?.name} offset ${offset}, where ${there}`,
      transaction,
      partition,
      offset
    })
  }
}

/**
 * S6, inconsistent offset: one (tp, off) with two values, among acknowledgements, polls and log.
 */
export const inconsistentOffsets = (evidence: Evidence, found: Found): void => {
  for (const partition of evidence.partitions) reusedOffsets(partition, found)
  const claims = new Map<string, string>()
  const claim = (partition: PartitionEvidence | undefined, offset: number, value: string) => {
    if (partition === undefined) return
    const record = partition.recordAt(offset)
    const key = `${partition.place}/${offset}`
    const other = record < 0 ? claims.get(key) : recordName(partition, record)
    claims.set(key, value)
    if (other === undefined || other === value) return
    found({
      what: `offset ${offset} of ${partition.name} is ${value} to one, and ${other} to another`,
      partition,
      offset
    })
  }
  const { ackOffset, ackPlace } = evidence.history.slots
  for (const slot of misplaced(evidence)) {
    const transaction = transactionOf(evidence, slot)
    const value = `record ${slot - transaction.firstSlot} of ${nameOf(transaction)}`
    claim(partitionAt(evidence, ackPlace[slot]!), ackOffset[slot]!, value)
  }
  forEachPolled(evidence, (partition, row) => {
    const { polled } = evidence.history
    const value = `record ${polled.index[row]} of transaction ` +
      `${polled.process[row]}/${polled.transaction[row]}`
    const offset = polled.offset[row]!
    const record = partition?.recordAt(offset) ?? -1
    // What agrees with the log is no claim against it, and there are millions of it.
    if (partition !== undefined && record >= 0 && recordName(partition, record) === value) return
    if (partition !== undefined && offset < partition.state.startOffset) return
    claim(partition, offset, value)
  })
}

const reusedOffsets = (partition: PartitionEvidence, found: Found): void => {
  const { batches, records } = partition.state
  let last = -1
  for (let batch = 0; batch < batches.length; batch++) {
    const end = partition.endOf(batch)
    const first = batches.firstRecord[batch]!
    // A control batch has one offset and no row of its own; nor has a record below the start.
    if (first === end) {
      check(batches.baseOffset[batch]!, "a control record")
    }
    for (let record = first; record < end; record++) {
      check(records.offset[record]!, recordName(partition, record))
    }
  }
  function check(offset: number, value: string) {
    if (offset <= last) {
      const what = `offset ${offset} of ${partition.name} is given again, to ${value}`
      found({ what, partition, offset })
    }
    last = Math.max(last, offset)
  }
}

/** Calls back for every record that a consumer was given. */
const forEachPolled = (
  { history, partitions }: Evidence,
  use: (partition: PartitionEvidence | undefined, row: number) => void
): void => {
  for (const consumptions of history.consumptions.values()) {
    for (const consumption of consumptions) {
      if (consumption._tag === "move") continue
      const { event, firstRow, rows } = consumption
      const partition = partitions.find(({ state }) =>
        state.topic === event.topic && state.partition === event.partition
      )
      for (let row = firstRow; row < firstRow + rows; row++) use(partition, row)
    }
  }
}

/**
 * S9, reorder: in a partition the records of a transaction do not lie in the order of their
 * indices, or those of a session not in the order of its transactions.
 */
export const reorders = (evidence: Evidence, found: Found): void => {
  for (const partition of evidence.partitions) {
    const { records } = partition.state
    const lastTransactions = new Map<number, number>()
    const lastIndices = new Map<number, number>()
    forEachRecord(partition, (record) => {
      const slot = partition.slots[record]!
      if (slot === noSlot) return
      const transaction = transactionOf(evidence, slot)
      const session = keyOf(transaction.process, transaction.session)
      const index = slot - transaction.firstSlot
      const lastTransaction = lastTransactions.get(session) ?? -1
      const lastIndex = lastTransaction === transaction.number ? lastIndices.get(session)! : -1
      if (transaction.number < lastTransaction || index < lastIndex) {
        found({
          what: transaction.number < lastTransaction
            ? `${nameOf(transaction)} comes after transaction ${transaction.process}/` +
              `${lastTransaction} of the same session, which began later`
            : `record ${index} of ${nameOf(transaction)} comes after its record ${lastIndex}`,
          transaction,
          partition,
          offset: records.offset[record]!
        })
        return
      }
      lastTransactions.set(session, transaction.number)
      lastIndices.set(session, index)
    })
  }
}
