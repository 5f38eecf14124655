/**
 * The sequence of each partition in one (producer id, epoch).
 *
 * A broker takes a batch that it has seen for a repetition, and drops it: so a sequence is given to
 * one batch for good, unless a broker said that it did not append it. A batch is repeated as the
 * same bytes.
 */
import type { EncodedRecord, PartitionBatch } from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"

export interface Pending {
  readonly records: ReadonlyArray<EncodedRecord>
  readonly sequence: number
  readonly bytes: Buffer
  /** An attempt may have been appended, or may be yet. */
  unclear: boolean
}

export interface Sequences {
  /**
   * The batch as it is to be written, or `null` where another batch of the partition is in its way
   * whose fate is not known.
   */
  readonly take: (
    batch: PartitionBatch,
    encode: (sequence: number) => Buffer
  ) => Pending | null
  readonly appended: (batch: PartitionBatch, pending: Pending) => void
  /** Whether the fate of every batch is known. */
  readonly areClear: () => boolean
  /** What was not appended is given up. */
  readonly forget: () => void
  /** A new epoch begins at 0 in every partition. */
  readonly reset: () => void
}

/** Sequences wrap to 0 after the largest that the protocol can hold. */
const sequences = 2 ** 31

export const make = (): Sequences => {
  const next = new Map<string, number>()
  const pending = new Map<string, Pending>()
  return {
    take: (batch, encode) => {
      const key = TopicPartition.toKey(batch)
      const earlier = pending.get(key)
      if (earlier !== undefined) {
        if (isSame(earlier.records, batch.records)) return earlier
        if (earlier.unclear) return null
      }
      const sequence = next.get(key) ?? 0
      const taken = { records: batch.records, sequence, bytes: encode(sequence), unclear: false }
      pending.set(key, taken)
      return taken
    },
    appended: (batch, { records, sequence }) => {
      const key = TopicPartition.toKey(batch)
      pending.delete(key)
      next.set(key, (sequence + records.length) % sequences)
    },
    areClear: () => ![...pending.values()].some(({ unclear }) => unclear),
    forget: () => pending.clear(),
    reset: () => {
      next.clear()
      pending.clear()
    }
  }
}

const isSame = (a: ReadonlyArray<EncodedRecord>, b: ReadonlyArray<EncodedRecord>): boolean =>
  a === b || (a.length === b.length && a.every((record, index) => record === b[index]))

/**
 * Answers after which the batch certainly is not in the log. "Not the leader" is none of them: a
 * leader gives it also when it lost the partition while it waited for its replicas.
 */
const notAppended: ReadonlySet<number> = new Set(
  [
    // What is wrong with the batch: corrupt, too large, an invalid timestamp, refused by a policy.
    [2, 10, 18, 32, 43, 44, 76, 87],
    // The rights on the topic, the cluster or the transactional id.
    [29, 31, 53],
    // An epoch that is over, or a transaction that is not there or not ready.
    [47, 48, 51, 90, 120]
  ].flat()
)

export const isNotAppended = (code: number): boolean => notAppended.has(code)
