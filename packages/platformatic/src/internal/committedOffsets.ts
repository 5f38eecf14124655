/**
 * A group's committed positions, read only when no transaction can still move them.
 */
import type { CommittedOffset, DriverError } from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import type { Cluster } from "./cluster.ts"
import { answered } from "./failure.ts"
import * as Lookups from "./lookups.ts"
import type { Settings } from "./settings.ts"

export const read = (
  { requestTimeoutMillis }: Settings,
  cluster: Cluster,
  groupId: string,
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
): Effect.Effect<ReadonlyArray<CommittedOffset>, DriverError> => {
  // The protocol takes no list for "all topics".
  if (partitions.length === 0) return Effect.succeed([])
  const message = Lookups.offsetFetch(
    groupId,
    Array.from(Map.groupBy(partitions, ({ topic }) => topic), ([name, of]) => ({
      name,
      partitionIndexes: of.map(({ partition }) => partition)
    }))
  )
  return cluster.coordinator("group", groupId).pipe(
    Effect.flatMap((address) => cluster.request(address, message, requestTimeoutMillis)),
    Effect.flatMap((answer) => {
      const code = codeOf(answer)
      return code === 0
        ? Effect.succeed(positionsIn(answer, partitions))
        : Effect.fail(answered("OffsetFetch", code))
    }),
    Effect.tapError((error) => Effect.sync(() => cluster.noteCoordinator("group", groupId, error)))
  )
}

const codeOf = ({ errorCode, topics }: Lookups.OffsetFetch): number =>
  errorCode ||
  (topics.flatMap(({ partitions }) => partitions).find(({ errorCode }) => errorCode !== 0)
    ?.errorCode ?? 0)

const positionsIn = (
  { topics }: Lookups.OffsetFetch,
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
): ReadonlyArray<CommittedOffset> => {
  const found = new Map(
    topics.flatMap(({ name, partitions }) =>
      partitions.map((one) =>
        [TopicPartition.toKey({ topic: name, partition: one.partitionIndex }), one] as const
      )
    )
  )
  return partitions.map(({ partition, topic }) => {
    const one = found.get(TopicPartition.toKey({ topic, partition }))
    // The offset is -1 where the group has committed nothing.
    const isCommitted = one !== undefined && one.committedOffset >= 0n
    return {
      topic,
      partition,
      offset: isCommitted ? one.committedOffset : null,
      metadata: isCommitted ? one.metadata ?? null : null
    }
  })
}
