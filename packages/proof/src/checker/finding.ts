/** What a check finds, and the few lines of the log around it that a person wants to see. */
import type { TransactionHistory } from "../TransactionHistory.ts"
import type { PartitionEvidence } from "./evidence.ts"

/** One offence, as a check tells it. The block is made only for those that are shown. */
export interface Offence {
  readonly what: string
  readonly transaction?: TransactionHistory | undefined
  readonly partition?: PartitionEvidence | undefined
  readonly offset?: number | undefined
}

/** Where checks tell their offences. */
export type Found = (offence: Offence) => void

const around = 4
const decisions = ["outside", "committed", "aborted", "open"] as const

/** The rows of batches around an offset, one line each; records one line each within them. */
export const blockAround = (partition: PartitionEvidence, offset: number): string => {
  const { batches } = partition.state
  const at = partition.batchAt(offset)
  const first = Math.max(0, at - around)
  const lines = [`${partition.name}, around offset ${offset}:`]
  for (let batch = first; batch <= Math.min(batches.length - 1, at + around); batch++) {
    lines.push(...linesOf(partition, batch, offset))
  }
  return lines.join("\n")
}

const linesOf = (
  partition: PartitionEvidence,
  batch: number,
  offset: number
): ReadonlyArray<string> => {
  const { batches, records } = partition.state
  const producer = `pid ${batches.producerId[batch]} epoch ${batches.epoch[batch]}`
  const kind = batches.kind[batch]!
  if (kind >= 2) {
    const marker = kind === 2 ? "COMMIT" : kind === 3 ? "ABORT" : "control"
    const at = batches.baseOffset[batch]!
    return [`${at === offset ? ">" : " "} ${at} ${producer} ${marker}`]
  }
  const lines: Array<string> = []
  const from = batches.firstRecord[batch]!
  const to = partition.endOf(batch)
  for (let record = from; record < to; record++) {
    const at = records.offset[record]!
    // A long batch is shown where the offence is, and at its ends.
    if (Math.abs(at - offset) > around && record !== from && record !== to - 1) continue
    const sequence = batches.sequence[batch]! < 0 ? "-" : batches.sequence[batch]! + record - from
    const whose = records.problem[record] === 0
      ? `transaction ${records.process[record]}/${records.transaction[record]} ` +
        `record ${records.index[record]} of ${records.count[record]}`
      : records.problem[record] === 1
      ? "a value without a stamp"
      : "a corrupt value"
    lines.push(
      `${at === offset ? ">" : " "} ${at} ${producer} sequence ${sequence} ${whose}, ` +
        decisions[partition.decisions[batch]!]!
    )
  }
  return lines
}
