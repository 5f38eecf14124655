/**
 * Finds the end marker of a transaction in a partition's log.
 */
import type { DriverError, EndMarker } from "@kafka-once/core/KafkaDriver"
import type { RecordBatch } from "@kafka-once/core/RecordBatches"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import type { Cluster } from "./cluster.ts"
import { answered, isSilence, refused } from "./failure.ts"
import * as Requests from "./groupRequests.ts"
import type { Message } from "./message.ts"
import type { Settings } from "./settings.ts"

const pageBytes = 4 * 1024 * 1024

/** So many pages are read at most: 4 GiB. The library's deadline strikes long before. */
const mostPages = 1_024

/**
 * Reads forward from `offset`, uncommitted, so that no open transaction of another producer can
 * hold the answer back.
 */
export const find = (
  settings: Settings,
  cluster: Cluster,
  topicPartition: TopicPartition,
  offset: bigint,
  producerId: bigint
): Effect.Effect<EndMarker, DriverError> => {
  const { partition, topic } = topicPartition
  const read = (position: bigint) =>
    cluster.topics([topic], false).pipe(
      Effect.flatMap((topics) => {
        const found = topics.get(topic)
        const leader = found?.leaders.get(partition)
        if (leader === undefined) {
          cluster.forgetTopic(topic)
          return Effect.fail(answered("Metadata", found?.codeOf(partition) ?? 3))
        }
        const message = fetch(topicPartition, position)
        return cluster.request(leader, message, settings.requestTimeoutMillis)
      }),
      Effect.flatMap((page) =>
        page.code === 0 || page.code === offsetOutOfRange
          ? Effect.succeed(page)
          : Effect.fail(answered("Fetch", page.code))
      ),
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error.failure._tag === "Answered" || isSilence(error)) cluster.forgetTopic(topic)
        })
      )
    )
  const search = (position: bigint, pages: number): Effect.Effect<EndMarker, DriverError> =>
    Effect.flatMap(read(position), ({ batches, code, highWatermark }) => {
      if (code === offsetOutOfRange) return Effect.succeed("gone")
      const end = batches
        .filter((batch) => batch.producerId === producerId && batch.baseOffset > offset)
        .map(({ control }) => control)
        .find((control) => control === "commit" || control === "abort")
      if (end !== undefined) return Effect.succeed(end)
      const next = (batches.at(-1)?.lastOffset ?? position - 1n) + 1n
      if (next >= highWatermark) return Effect.succeed("none yet")
      return pages > 1
        ? search(next, pages - 1)
        : Effect.fail(refused("Fetch", `No end marker within ${mostPages} pages`))
    })
  return search(offset, mostPages)
}

const offsetOutOfRange = 1

interface Page {
  readonly code: number
  readonly highWatermark: bigint
  readonly batches: ReadonlyArray<RecordBatch>
}

/** One page of one partition. */
const fetch = (topicPartition: TopicPartition, position: bigint): Message<Page> => {
  const message = Requests.fetch({
    isolation: "read_uncommitted",
    maxWaitMillis: 0,
    maxBytes: pageBytes,
    maxPartitionBytes: pageBytes,
    partitions: [{ ...topicPartition, offset: position }]
  })
  return {
    ...message,
    read: (reader, version) => {
      const { code, partitions: [page] } = message.read(reader, version)
      if (code !== 0) return { code, highWatermark: -1n, batches: [] }
      if (page === undefined) throw new RangeError("A Fetch was answered without a partition")
      return page
    }
  }
}
