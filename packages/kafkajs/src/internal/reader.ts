/**
 * The requests that belong to no producer: one long-lived client for all of them, opened when first
 * needed, and opened anew after it failed.
 */
import {
  type CommittedOffset,
  DriverError,
  type EndMarker,
  Failure
} from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Call from "./call.ts"
import * as Client from "./client.ts"
import { type Cluster, topicOf } from "./cluster.ts"
import * as EndMarkers from "./endMarkers.ts"
import { groupBy } from "./groupBy.ts"
import type { Logging } from "./logging.ts"
import type { Settings } from "./settings.ts"
import * as SocketGate from "./socketGate.ts"

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

interface Connection {
  readonly gate: SocketGate.SocketGate
  readonly cluster: Cluster
}

export const make = Effect.fnUntraced(function*(
  settings: Settings,
  logging: Logging
): Effect.fn.Return<Reader, never, Scope.Scope> {
  let connection: Connection | null = null
  let turn = 0
  const withoutSecrets = Client.withoutSecrets(settings)
  // Calls of one gate must not overlap, or the failure of one would be told by the requests of
  // another.
  const oneAtATime = (yield* Semaphore.make(1)).withPermit

  const drop = Effect.suspend(() => {
    const dropped = connection
    connection = null
    return dropped === null ? Effect.void : close(dropped)
  })
  yield* Effect.addFinalizer(() => drop)

  const connectOnce = Effect.suspend(() => {
    const gate = SocketGate.make()
    const client = Client.make(settings, gate, logging, settings.requestTimeoutMillis, turn++)
    const opened = { gate, cluster: client.createCluster() }
    connection = opened
    return Effect.as(Call.run(gate, withoutSecrets, () => opened.cluster.connect()), opened)
  })
  const connected = Effect.suspend(() =>
    connection !== null && !connection.gate.isClosed() && connection.cluster.isConnected()
      ? Effect.succeed(connection)
      : Effect.andThen(drop, connectOnce).pipe(
        Effect.tapError(() => drop),
        // Each bootstrap address is tried once.
        Effect.retry({
          times: settings.brokers.length - 1,
          while: ({ failure }) => failure._tag === "NotSent" || failure._tag === "NoAnswer"
        })
      )
  )

  const run = <A>(body: (cluster: Cluster) => Promise<A>): Effect.Effect<A, DriverError> =>
    connected.pipe(
      Effect.flatMap(({ cluster, gate }) => Call.run(gate, withoutSecrets, () => body(cluster))),
      // After a refusal the connection is as good as before; after anything else it is not.
      Effect.tapError(({ failure }) => failure._tag === "Answered" ? Effect.void : drop),
      oneAtATime
    )

  return {
    probe: run((cluster) => {
      cluster.targetTopics.clear()
      return cluster.refreshMetadata()
    }),
    partitionCount: (topic) =>
      Effect.flatten(run(async (cluster) => {
        await findTopics(cluster, [topic])
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
        await findTopics(cluster, [topicPartition.topic])
        return EndMarkers.find(cluster, topicPartition, offset, producerId)
      })),
    committedOffsets: (groupId, partitions) =>
      run((cluster) => committedOffsets(cluster, groupId, partitions))
  }
})

const closeMillis = 250

const close = ({ cluster, gate }: Connection): Effect.Effect<void> =>
  Effect.sync(gate.close).pipe(
    Effect.andThen(Effect.tryPromise(() => cluster.disconnect())),
    Effect.timeout(closeMillis),
    // Its sockets are gone, whatever kafkajs says to this.
    Effect.ignore
  )

/** Asks for these topics anew, and for no other. */
const findTopics = (cluster: Cluster, topics: ReadonlyArray<string>): Promise<void> => {
  cluster.targetTopics.clear()
  return cluster.addMultipleTargetTopics(topics)
}

const committedOffsets = async (
  cluster: Cluster,
  groupId: string,
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
): Promise<ReadonlyArray<CommittedOffset>> => {
  // kafkajs sends an empty list as "all topics".
  if (partitions.length === 0) return []
  await findTopics(cluster, [])
  await cluster.refreshMetadataIfNecessary()
  const coordinator = await cluster.findGroupCoordinator({ groupId })
  const { responses } = await coordinator.offsetFetch({
    groupId,
    topics: Array.from(
      groupBy(partitions, ({ topic }) => topic),
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
