/** What the log says of producers: their spans, sequences, epochs and decisions: S8, S11-S13. */
import { nameOf } from "../TransactionHistory.ts"
import { type Evidence, noSlot, transactionOf } from "./evidence.ts"
import type { Found } from "./finding.ts"

const data = (kind: number): boolean => kind < 2
const marker = (kind: number): boolean => kind === 2 || kind === 3

/**
 * S8, cross-transaction leak: between two end markers of a producer id in a partition there are
 * records of two transactions, so that one is decided by the marker of the other.
 */
export const leaks = (evidence: Evidence, found: Found): void => {
  for (const partition of evidence.partitions) {
    const { batches, records } = partition.state
    const spans = new Map<number, number>()
    for (let batch = 0; batch < batches.length; batch++) {
      const producer = batches.producerId[batch]!
      if (marker(batches.kind[batch]!)) spans.delete(producer)
      if (batches.kind[batch] !== 1) continue
      for (let at = batches.firstRecord[batch]!; at < partition.endOf(batch); at++) {
        const slot = partition.slots[at]!
        if (slot === noSlot) continue
        const { row } = transactionOf(evidence, slot)
        const first = spans.get(producer)
        spans.set(producer, first ?? row)
        if (first === undefined || first === row) continue
        const transaction = evidence.history.transactions[row]!
        const other = evidence.history.transactions[first]!
        found({
          what:
            `${nameOf(transaction)} and ${nameOf(other)} lie between the same two end markers ` +
            `of producer ${producer}`,
          transaction,
          partition,
          offset: records.offset[at]!
        })
        break
      }
    }
  }
}

const sequences = 2 ** 31

/**
 * S11, sequence gap or reuse: the batches of one (partition, producer id, epoch) do not continue
 * each other's sequences, from 0 on where the log has its beginning.
 */
export const sequenceBreaks = (evidence: Evidence, found: Found): void => {
  for (const partition of evidence.partitions) {
    const { batches, startOffset } = partition.state
    const next = new Map<number, number>()
    for (let batch = 0; batch < batches.length; batch++) {
      const sequence = batches.sequence[batch]!
      if (!data(batches.kind[batch]!) || sequence < 0) continue
      const key = batches.producerId[batch]! * 65536 + batches.epoch[batch]!
      const expected = next.get(key) ?? (startOffset === 0 ? 0 : sequence)
      next.set(key, (sequence + batches.count[batch]!) % sequences)
      if (sequence === expected) continue
      found({
        what: `producer ${batches.producerId[batch]} epoch ${batches.epoch[batch]} goes on with ` +
          `sequence ${sequence}, where ${expected} comes next`,
        partition,
        offset: batches.baseOffset[batch]!
      })
    }
  }
}

/**
 * S12, fencing violation: data or a COMMIT marker of one transactional id's older session after a
 * batch of a newer one; in the partitions by offset, on the wire by the coordinator's answers.
 */
export const fencingViolations = (evidence: Evidence, found: Found): void => {
  const generations = generationsOf(evidence)
  for (const partition of evidence.partitions) {
    const { batches } = partition.state
    const newest = new Map<string, number>()
    for (let batch = 0; batch < batches.length; batch++) {
      const kind = batches.kind[batch]!
      if (kind === 0 || kind === 4) continue
      const producer = batches.producerId[batch]!
      const epoch = batches.epoch[batch]!
      const { id, rank } = generations(producer)
      const generation = rank * 65536 + epoch
      const before = newest.get(id) ?? -1
      newest.set(id, Math.max(before, generation))
      if (generation >= before || kind === 3) continue
      found({
        what: `${kind === 2 ? "a COMMIT marker" : "data"} of producer ${producer} epoch ${epoch} ` +
          `("${id}") after epoch ${before % 65536}, which had fenced it`,
        partition,
        offset: batches.baseOffset[batch]!
      })
    }
  }
  fencedOnTheWire(evidence, found)
}

/** The transactional id of a producer id, and which of the id's producer ids it is. */
const generationsOf = ({ history }: Evidence) => {
  const known = new Map<number, { readonly id: string; readonly rank: number }>()
  const ranks = new Map<string, number>()
  const inits = [...history.sessions.values()].sort((one, other) => one.t - other.t)
  for (const { id, producerId } of inits) {
    if (known.has(producerId) || producerId < 0) continue
    const rank = ranks.get(id) ?? 0
    ranks.set(id, rank + 1)
    known.set(producerId, { id, rank })
  }
  return (producer: number) => known.get(producer) ?? { id: `producer ${producer}`, rank: 0 }
}

const fencedOnTheWire = ({ wire }: Evidence, found: Found): void => {
  if (wire === null) return
  const newest = new Map<string, { readonly epoch: number; readonly since: number }>()
  const fences = wire.entries.filter(({ answer, api }) =>
    api === "InitProducerId" && answer !== null && !answer.synthetic && answer.errorCode === 0
  ).sort((one, other) => one.answer!.timeMillis - other.answer!.timeMillis)
  // What was held on its way reaches the broker later than it was seen.
  const sent = wire.entries.filter(({ api, commit, forwardedMillis, producerEpoch }) =>
    (api === "Produce" || (api === "EndTxn" && commit === true)) &&
    forwardedMillis !== null && producerEpoch !== null
  ).sort((one, other) => one.forwardedMillis! - other.forwardedMillis!)
  let next = 0
  for (const { answer, api, forwardedMillis, producerEpoch, producerId } of sent) {
    for (; next < fences.length && fences[next]!.answer!.timeMillis < forwardedMillis!; next++) {
      const fence = fences[next]!.answer!
      const epoch = fence.producerEpoch ?? 0
      newest.set(String(fence.producerId), { epoch, since: fence.timeMillis })
    }
    const fence = newest.get(String(producerId))
    const accepted = answer !== null && !answer.synthetic && answer.errorCode === 0
    if (fence === undefined || producerEpoch! >= fence.epoch || !accepted) continue
    found({
      what: `${api} of producer ${producerId} epoch ${producerEpoch} was accepted ` +
        `${Math.round(forwardedMillis! - fence.since)} ms after epoch ${fence.epoch} had fenced it`
    })
  }
}

/** S13, double decision: the records of one transaction are committed here, and aborted there. */
export const doubleDecisions = (evidence: Evidence, found: Found): void => {
  const { history, partitions } = evidence
  const decided = new Uint8Array(history.transactions.length)
  for (const partition of partitions) {
    const { batches, records } = partition.state
    for (let batch = 0; batch < batches.length; batch++) {
      const decision = partition.decisions[batch]!
      if (decision !== 1 && decision !== 2) continue
      for (let at = batches.firstRecord[batch]!; at < partition.endOf(batch); at++) {
        const slot = partition.slots[at]!
        if (slot === noSlot) continue
        const transaction = transactionOf(evidence, slot)
        const before = decided[transaction.row]!
        decided[transaction.row] = before | decision
        if (before === 3 || (before | decision) !== 3) continue
        found({
          what: `${nameOf(transaction)} is committed in one place and aborted in another`,
          transaction,
          partition,
          offset: records.offset[at]!
        })
      }
    }
  }
}
