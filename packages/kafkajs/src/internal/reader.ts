/**
 * The requests that belong to neither a producer nor a consumer: one client for all of them.
 */
import type { Settings } from "@kafka-once/core/ConnectionOptions"
import {
  type CommittedOffset,
  DriverError,
  type EndMarker,
  Failure
} from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Cluster, topicOf } from "./cluster.ts"
import * as Connection from "./connection.ts"
import * as EndMarkers from "./endMarkers.ts"
import type { Logging } from "./logging.ts"

export interface Reader {
  readonly probe: Effect.Effect<void, DriverError>
  readonly partitionCount: (topic: string) => Effect.Effect<number, DriverError>
  readonly endMarker: (
    topicPartition: TopicPartition.TopicPartition,
    offset: bigint,
    producerId: bigint
  ) => Effect.Effect<EndMarker, DriverError>
  readonly committedOffsets: (
    groupId: string,
    partitions: ReadonlyArray<TopicPartition.TopicPartition>
  ) => Effect.Effect<ReadonlyArray<CommittedOffset>, DriverError>
}

export const make = Effect.fnUntraced(function*(
  settings: Settings,
  logging: Logging
): Effect.fn.Return<Reader, never, Scope.Scope> {
  const { run } = yield* Connection.make(settings, logging, settings.requestTimeoutMillis)
  return {
    probe: run((cluster) => {
      cluster.targetTopics.clear()
      return cluster.refreshMetadata()
    }),
    partitionCount: (topic) =>
      Effect.flatten(run(async (cluster) => {
        await Connection.findTopics(cluster, [topic])
        const { code, partitionCount } = topicOf(cluster, topic)
        return code === 0 ? Effect.succeed(partitionCount) : Effect.fail(
          new DriverError({
            request: "Metadata",
            failure: Failure.Answered({ code }),
            detail: `The topic "${topic}" cannot be used`
          })
        )
      })),
    endMarker: (topicPartition, offset, producerId) =>
      Effect.flatten(run(async (cluster) => {
        await Connection.findTopics(cluster, [topicPartition.topic])
        return EndMarkers.find(cluster, topicPartition, offset, producerId)
      })),
    committedOffsets: (groupId, partitions) =>
      run((cluster) => committedOffsets(cluster, groupId, partitions))
  }
})

const committedOffsets = async (
  cluster: Cluster,
  groupId: string,
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
): Promise<ReadonlyArray<CommittedOffset>> => {
  // kafkajs sends an empty list as "all topics".
  if (partitions.length === 0) return []
  await Connection.findTopics(cluster, [])
  await cluster.refreshMetadataIfNecessary()
  const coordinator = await cluster.findGroupCoordinator({ groupId })
  const { responses } = await coordinator.offsetFetch({
    groupId,
    topics: Array.from(
      Map.groupBy(partitions, ({ topic }) => topic),
      ([topic, ofTopic]) => ({ topic, partitions: ofTopic.map(({ partition }) => ({ partition })) })
    )
  })
  const found = new Map(
    responses.flatMap(({ partitions, topic }) =>
      partitions.map((one) => [TopicPartition.toKey({ topic, partition: one.partition }), one])
    )
  )
  return partitions.map(({ partition, topic }) => {
    const one = found.get(TopicPartition.toKey({ topic, partition }))
    // The offset is -1 where the group has committed nothing.
    const isCommitted = one !== undefined && !one.offset.startsWith("-")
    return {
      topic,
      partition,
      offset: isCommitted ? BigInt(one.offset) : null,
      metadata: isCommitted ? one.metadata : null
    }
  })
}
