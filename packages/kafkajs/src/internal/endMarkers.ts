/**
 * Finds the end marker of a transaction in a partition's log.
 */
import { DriverError, type EndMarker, Failure } from "@kafka-once/core/KafkaDriver"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import { readUncommitted } from "./client.ts"
import { type Cluster, topicOf } from "./cluster.ts"
import * as FetchAnswer from "./fetchAnswer.ts"
import type { PartitionAnswer } from "./fetchAnswer.ts"
import type { RawFetch } from "./repair.ts"

const pageBytes = 4 * 1024 * 1024

/** So many pages are read at most: 4 GiB. The library's deadline strikes long before. */
const mostPages = 1_024

/**
 * Reads forward from `offset`, uncommitted, so that no open transaction of another producer can
 * hold the answer back.
 */
export const find = async (
  cluster: Cluster,
  topicPartition: TopicPartition,
  offset: bigint,
  producerId: bigint
): Promise<Effect.Effect<EndMarker, DriverError>> => {
  const { code, leader } = topicOf(cluster, topicPartition.topic).leaderOf(topicPartition.partition)
  if (leader === null) return failed("Metadata", code)
  const broker = await cluster.findBroker({ nodeId: leader })
  let position = offset
  for (let page = 0; page < mostPages; page++) {
    const raw = await broker.fetch({
      replicaId: -1,
      isolationLevel: readUncommitted,
      maxWaitTime: 100,
      minBytes: 1,
      maxBytes: pageBytes,
      rackId: "",
      topics: [{
        topic: topicPartition.topic,
        partitions: [{
          partition: topicPartition.partition,
          fetchOffset: position.toString(),
          maxBytes: pageBytes
        }]
      }]
    })
    const answer = readPage(raw as RawFetch)
    if (answer.code === offsetOutOfRange) return Effect.succeed("gone")
    if (answer.code !== 0) return failed("Fetch", answer.code)
    for (const batch of answer.batches) {
      position = batch.lastOffset + 1n
      const { baseOffset, control } = batch
      if (batch.producerId !== producerId || baseOffset <= offset) continue
      if (control === "commit" || control === "abort") return Effect.succeed(control)
    }
    if (position >= answer.highWatermark) return Effect.succeed("none yet")
  }
  return Effect.fail(
    new DriverError({
      request: "Fetch",
      failure: Failure.Refused(),
      detail: `No end marker within ${mostPages} pages of ${pageBytes} bytes`
    })
  )
}

const failed = (request: "Fetch" | "Metadata", code: number): Effect.Effect<never, DriverError> =>
  Effect.fail(
    new DriverError({ request, failure: Failure.Answered({ code }), detail: `Code ${code}` })
  )

const offsetOutOfRange = 1

/** The one partition of a Fetch response. */
const readPage = (raw: RawFetch): Pick<PartitionAnswer, "code" | "highWatermark" | "batches"> => {
  const { code, partitions } = FetchAnswer.read(raw)
  if (code !== 0) return { code, highWatermark: -1n, batches: [] }
  const [page] = partitions
  if (page === undefined) throw new RangeError("A Fetch was answered without a topic")
  return page
}
