/**
 * The log of one partition in memory, with end markers, and what its readers see of it.
 */
import type { EncodedRecord, End } from "@kafka-once/core/KafkaDriver"
import type { AbortedTransaction, LogBatch } from "@kafka-once/core/ReadCommitted"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"

/** The producer id of what no transaction wrote. */
export const noProducer = -1n

export type Entry =
  | {
    readonly _tag: "Batch"
    readonly offset: bigint
    readonly producerId: bigint
    readonly epoch: number
    readonly sequence: number
    readonly records: ReadonlyArray<EncodedRecord>
  }
  | {
    readonly _tag: "Marker"
    readonly offset: bigint
    readonly producerId: bigint
    readonly epoch: number
    readonly end: End
  }

export interface LogDouble {
  readonly topic: string
  readonly partition: number
  readonly entries: Array<Entry>
  start: bigint
  next: bigint
}

/** A record with the place where it is. */
export interface VisibleRecord extends TopicPartition {
  readonly offset: bigint
  readonly record: EncodedRecord
}

/** The end marker of a batch's transaction, `null` while it is open. */
const markerOf = (log: LogDouble, index: number) => {
  const { producerId } = log.entries[index]!
  const marker = log.entries.slice(index).find((later) =>
    later._tag === "Marker" && later.producerId === producerId
  )
  return marker?._tag === "Marker" ? marker : null
}

/** The offset from which on a reader under read_committed sees nothing yet. */
export const lastStableOffset = (log: LogDouble): bigint => {
  const open = log.entries.find((entry, i) =>
    entry._tag === "Batch" && entry.producerId !== noProducer && markerOf(log, i) === null
  )
  return open?.offset ?? log.next
}

/** The records that a reader under read_committed sees, by the log's own truth. */
export const visible = (log: LogDouble): ReadonlyArray<VisibleRecord> => {
  const { partition, topic } = log
  const stable = lastStableOffset(log)
  return log.entries.flatMap((entry, i) => {
    if (entry._tag === "Marker" || entry.offset >= stable) return []
    if (entry.producerId !== noProducer && markerOf(log, i)?.end !== "commit") return []
    return entry.records.map((record, n) => ({
      topic,
      partition,
      offset: entry.offset + BigInt(n),
      record
    }))
  })
}

/** A batch as a fetch answers it. */
export interface ReadBatch extends LogBatch {
  readonly offset: bigint
  readonly records: ReadonlyArray<EncodedRecord>
}

/** What a fetch answers: whole batches, and the aborted transactions that reach into them. */
export interface Read {
  readonly batches: ReadonlyArray<ReadBatch>
  readonly aborted: ReadonlyArray<AbortedTransaction>
  readonly next: bigint
}

/** Reads at least one batch where there is one, and then up to about so many records. */
export const read = (
  log: LogDouble,
  position: bigint,
  isolation: "read_committed" | "read_uncommitted",
  records: number
): Read | "out of range" => {
  if (position < log.start || position > log.next) return "out of range"
  const end = isolation === "read_committed" ? lastStableOffset(log) : log.next
  const batches: Array<ReadBatch> = []
  let next = position
  let count = 0
  for (const entry of log.entries) {
    const batch = toBatch(entry)
    if (batch.lastOffset < position) continue
    if (batch.offset >= end || count >= records) break
    batches.push(batch)
    count += batch.records.length
    next = batch.lastOffset + 1n
  }
  return { batches, aborted: abortedIn(log, position, next), next }
}

const toBatch = (entry: Entry): ReadBatch => {
  const { offset, producerId } = entry
  return entry._tag === "Marker"
    ? {
      offset,
      lastOffset: offset,
      producerId,
      isTransactional: true,
      control: entry.end,
      records: []
    }
    : {
      offset,
      lastOffset: offset + BigInt(entry.records.length) - 1n,
      producerId,
      isTransactional: producerId !== noProducer,
      control: null,
      records: entry.records
    }
}

const abortedIn = (log: LogDouble, from: bigint, to: bigint): ReadonlyArray<AbortedTransaction> => {
  const aborted = new Map<bigint, AbortedTransaction>()
  for (const [i, entry] of log.entries.entries()) {
    if (entry._tag === "Marker" || entry.producerId === noProducer) continue
    const marker = markerOf(log, i)
    if (marker === null || marker.end === "commit") continue
    if (marker.offset < from || entry.offset >= to || aborted.has(marker.offset)) continue
    aborted.set(marker.offset, { producerId: entry.producerId, firstOffset: entry.offset })
  }
  return [...aborted.values()]
}
