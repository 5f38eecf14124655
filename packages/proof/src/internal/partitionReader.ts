/**
 * Reading one partition from end to end.
 */
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import { NotAnswered } from "../LogReaderError.ts"
import type { PartitionLog } from "../PartitionLog.ts"
import { accept, type Reason, unanswered } from "./brokerRequests.ts"
import type { PartitionLeader } from "./partitionLeader.ts"

const fetchBytes = 8 * 1024 * 1024

/** Reads a partition, uncommitted, to the high watermark of the first answer. */
export const readPartition = Effect.fnUntraced(function*(
  leader: PartitionLeader,
  topic: string,
  partition: number
): Effect.fn.Return<PartitionLog, Reason> {
  const batches: Array<ProtocolClient.RecordBatch> = []
  const bounds = yield* scanPartition(leader, topic, partition, (part) => {
    batches.push(...part.batches)
  })
  return { ...bounds, batches }
})

/** The same, a few megabytes at a time; every part has the bounds of the whole. */
export const scanPartition = Effect.fnUntraced(function*(
  leader: PartitionLeader,
  topic: string,
  partition: number,
  onPart: (part: PartitionLog) => void
): Effect.fn.Return<Omit<PartitionLog, "batches">, Reason> {
  const startOffset = yield* earliestOffset(leader, topic, partition)
  const first = yield* fetch(leader, topic, partition, startOffset)
  const { highWatermark, lastStableOffset } = first
  const bounds = { topic, partition, startOffset, lastStableOffset, highWatermark }
  const tell = (batches: ReadonlyArray<ProtocolClient.RecordBatch>) =>
    onPart({
      ...bounds,
      batches: batches.filter(({ baseOffset }) => baseOffset < highWatermark)
    })
  tell(first.batches)
  // Every turn gets at least one batch further, or the reading fails.
  for (let next = endOf(first.batches, startOffset); next < highWatermark;) {
    const more = yield* fetch(leader, topic, partition, next)
    const end = endOf(more.batches, next)
    if (end === next) {
      // Who has just become the leader learns last what all replicas have.
      if (more.highWatermark < highWatermark) {
        yield* Effect.sleep("50 millis")
        continue
      }
      return yield* new NotAnswered({
        problem: `${topic}-${partition} has nothing at ${next}, below ${highWatermark}`
      })
    }
    tell(more.batches)
    next = end
  }
  return bounds
})

const endOf = (batches: ReadonlyArray<ProtocolClient.RecordBatch>, otherwise: bigint): bigint => {
  const last = batches.at(-1)
  return last === undefined ? otherwise : last.lastOffset + 1n
}

const earliestOffset = (leader: PartitionLeader, topic: string, partition: number) =>
  leader.ask(Effect.fnUntraced(function*(client) {
    const { topics } = yield* client.request("ListOffsets", 7, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp: -2n }] }]
    }).pipe(unanswered("ListOffsets"))
    const row = topics[0]?.partitions[0]
    yield* accept(`ListOffsets of ${topic}-${partition}`, row?.errorCode)
    return row?.offset ?? 0n
  }))

const fetch = (
  leader: PartitionLeader,
  topic: string,
  partition: number,
  fetchOffset: bigint
) =>
  leader.ask(Effect.fnUntraced(function*(client) {
    // Version 12 is the last that names a topic by its name.
    const { errorCode, responses } = yield* client.request("Fetch", 12, {
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: fetchBytes,
      isolationLevel: 0,
      topics: [{ topic, partitions: [{ partition, fetchOffset, partitionMaxBytes: fetchBytes }] }]
    }).pipe(unanswered("Fetch"))
    yield* accept("Fetch", errorCode)
    const row = responses[0]?.partitions[0]
    if (row === undefined) return yield* new NotAnswered({ problem: "Fetch: no partition in it" })
    yield* accept(`Fetch of ${topic}-${partition}`, row.errorCode)
    const batches = yield* ProtocolClient.readBatches(row.records ?? new Uint8Array()).pipe(
      unanswered("Fetch")
    )
    return {
      highWatermark: row.highWatermark,
      lastStableOffset: row.lastStableOffset,
      batches
    }
  }))
