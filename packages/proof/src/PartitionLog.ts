/**
 * One partition's log at one moment, and how each record in it counts.
 *
 * @since 0.1.0
 */
import type * as ProtocolClient from "@kafka-once/testing/ProtocolClient"

/**
 * Everything in one partition at one moment.
 *
 * **Details**
 *
 * *Shape*: `batches` are all from `startOffset` to `highWatermark`, control batches among them.
 * `lastStableOffset` is where the oldest open transaction begins, or the high watermark.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionLog {
  readonly topic: string
  readonly partition: number
  readonly startOffset: bigint
  readonly lastStableOffset: bigint
  readonly highWatermark: bigint
  readonly batches: ReadonlyArray<ProtocolClient.RecordBatch>
}

/**
 * Whether no transaction is under way in the partition.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isSettled = ({ highWatermark, lastStableOffset }: PartitionLog): boolean =>
  highWatermark === lastStableOffset

/**
 * How each record of a partition counts.
 *
 * **Details**
 *
 * *Shape*: `plain` was written outside any transaction. The others are decided by the next end
 * marker of their producer id: `committed`, `aborted`, or `open` where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decided extends ProtocolClient.LogRecord {
  readonly decision: "plain" | "committed" | "aborted" | "open"
  readonly partition: number
  readonly producerId: bigint
  readonly producerEpoch: number
  /** The sequence number of this record; -1 where no idempotent producer wrote it. */
  readonly sequence: number
}

/**
 * The records of a partition in the order of their offsets, each with how it counts. Pure: the rule
 * of Kafka's log, without the index of aborted transactions that a broker sends to consumers.
 *
 * @category operations
 * @since 0.1.0
 */
export const decide = (log: PartitionLog): ReadonlyArray<Decided> => {
  // From the end to the beginning, so that the next marker of a producer is always known.
  const next = new Map<bigint, "committed" | "aborted">()
  const decided: Array<Decided> = []
  for (const batch of log.batches.toReversed()) {
    const { baseSequence, control, isTransactional, producerEpoch, producerId } = batch
    if (control === "commit") next.set(producerId, "committed")
    if (control === "abort") next.set(producerId, "aborted")
    if (control !== null) continue
    const decision = isTransactional ? next.get(producerId) ?? "open" : "plain"
    for (const record of batch.records.toReversed()) {
      // A Fetch gives whole batches, also when the log was cut off within the first one.
      if (record.offset < log.startOffset) continue
      const index = Number(record.offset - batch.baseOffset)
      const sequence = producerId < 0n ? -1 : baseSequence + index
      const { partition } = log
      decided.push({ ...record, decision, partition, producerId, producerEpoch, sequence })
    }
  }
  return decided.toReversed()
}

/**
 * What a reader under read_committed is given: plain and committed records below the last stable
 * offset.
 *
 * @category operations
 * @since 0.1.0
 */
export const visible = (log: PartitionLog): ReadonlyArray<Decided> =>
  decide(log).filter(({ decision, offset }) =>
    (decision === "plain" || decision === "committed") && offset < log.lastStableOffset
  )

const decoder = new TextDecoder()

/**
 * A record's value as text; `"null"` for Kafka's null.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = ({ value }: { readonly value: Uint8Array | null }): string =>
  value === null ? "null" : decoder.decode(value)
