/**
 * What a Fetch was answered, in the versions 4 to 11 that kafkajs asks for.
 */
import * as RecordBatches from "@kafka-once/core/RecordBatches"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import { decompress } from "./decompress.ts"
import type { RawFetch } from "./repair.ts"

export interface PartitionAnswer extends TopicPartition {
  readonly code: number
  readonly highWatermark: bigint
  readonly lastStableOffset: bigint
  readonly aborted: ReadonlyArray<{ readonly producerId: bigint; readonly firstOffset: bigint }>
  readonly batches: ReadonlyArray<RecordBatches.RecordBatch>
}

export interface FetchAnswer {
  /** What is wrong with the request as a whole, or 0. */
  readonly code: number
  readonly partitions: ReadonlyArray<PartitionAnswer>
}

/** Throws a RangeError where the answer is shorter than its version says. */
export const read = ({ apiVersion, body }: RawFetch): FetchAnswer => {
  const code = apiVersion >= 7 ? body.readInt16BE(4) : 0
  if (code !== 0) return { code, partitions: [] }
  const partitions: Array<PartitionAnswer> = []
  // Throttle time, and from version 7 on an error code and a session id.
  let at = apiVersion >= 7 ? 10 : 4
  const int32 = (): number => {
    at += 4
    return body.readInt32BE(at - 4)
  }
  const int64 = (): bigint => {
    at += 8
    return body.readBigInt64BE(at - 8)
  }
  for (let topics = int32(); topics > 0; topics--) {
    const nameEnd = at + 2 + body.readInt16BE(at)
    const topic = body.toString("utf8", at + 2, nameEnd)
    at = nameEnd
    for (let count = int32(); count > 0; count--) {
      const partition = int32()
      const partitionCode = body.readInt16BE(at)
      at += 2
      const highWatermark = int64()
      const lastStableOffset = int64()
      // From version 5 on the log's start offset.
      if (apiVersion >= 5) at += 8
      const aborted: Array<{ producerId: bigint; firstOffset: bigint }> = []
      for (let left = int32(); left > 0; left--) {
        aborted.push({ producerId: int64(), firstOffset: int64() })
      }
      // From version 11 on the replica to read from.
      if (apiVersion >= 11) at += 4
      const size = Math.max(0, int32())
      const batches = RecordBatches.read(body.subarray(at, at + size), decompress)
      at += size
      partitions.push({
        topic,
        partition,
        code: partitionCode,
        highWatermark,
        lastStableOffset,
        aborted,
        batches
      })
    }
  }
  return { code, partitions }
}
