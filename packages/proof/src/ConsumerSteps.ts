/**
 * The steps in which tests of a driver's consumer are told.
 *
 * @since 0.1.0
 */
import type {
  ConsumerSession,
  ConsumerSessionOptions,
  FetchedBatch,
  SessionEvent
} from "@kafka-once/core/ConsumerDriver"
import { type DriverError, KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * What tests open a session with; each says what it changes.
 *
 * @since 0.1.0
 */
export const options = (
  groupId: string,
  topics: ReadonlyArray<string>,
  changes: Partial<ConsumerSessionOptions> = {}
): ConsumerSessionOptions => ({
  groupId,
  groupProtocol: "classic",
  groupInstanceId: null,
  topics,
  isolation: "read_committed",
  sessionTimeoutMillis: 6_000,
  rebalanceTimeoutMillis: 10_000,
  heartbeatIntervalMillis: 200,
  requestTimeoutMillis: 3_000,
  maxFetchWaitMillis: 100,
  maxFetchBytes: 8 * 1024 * 1024,
  maxPartitionFetchBytes: 1024 * 1024,
  maxPrefetchRecords: 10_000,
  maxPrefetchBytes: 16 * 1024 * 1024,
  ...changes
})

/**
 * Opens a session of the driver in context.
 *
 * @since 0.1.0
 */
export const open = (
  of: ConsumerSessionOptions
): Effect.Effect<ConsumerSession, DriverError, KafkaDriver | Scope.Scope> =>
  Effect.flatMap(
    KafkaDriver,
    ({ openConsumer }) =>
      openConsumer === null
        ? Effect.die(new Error("The driver has no consumer"))
        : openConsumer(of)
  )

/**
 * Waits for an event of one kind, and drops what is told before it.
 *
 * @since 0.1.0
 */
export const eventOf = <Tag extends SessionEvent["_tag"]>(
  session: ConsumerSession,
  tag: Tag
): Effect.Effect<Extract<SessionEvent, { readonly _tag: Tag }>, DriverError> => {
  const isMeant = (
    event: SessionEvent
  ): event is Extract<SessionEvent, { readonly _tag: Tag }> => event._tag === tag
  return Effect.gen(function*() {
    for (;;) {
      const event = yield* session.nextEvent
      if (isMeant(event)) return event
    }
  })
}

/**
 * Waits for partitions: in the consumer protocol a member joins first, and gets them when their
 * former owners have let them go.
 *
 * @since 0.1.0
 */
export const assignedOf = (session: ConsumerSession) =>
  Effect.repeat(eventOf(session, "Assigned"), {
    until: ({ partitions }) => partitions.length > 0
  })

/**
 * Joins, and starts every assigned partition at its beginning.
 *
 * @since 0.1.0
 */
export const openFromStart = Effect.fnUntraced(function*(of: ConsumerSessionOptions) {
  const session = yield* open(of)
  const assigned = yield* assignedOf(session)
  yield* Effect.forEach(assigned.partitions, (one) => session.seek(one, "earliest"))
  return { session, assigned }
})

const decoder = new TextDecoder()

/**
 * The values of a batch as text.
 *
 * @since 0.1.0
 */
export const valuesOf = ({ records }: FetchedBatch): ReadonlyArray<string> =>
  records.map(({ value }) => value === null ? "" : decoder.decode(value))

/**
 * Takes batches of one partition until it has so many values; more may come with the last one.
 *
 * @since 0.1.0
 */
export const takeValues = (
  session: ConsumerSession,
  topicPartition: TopicPartition.TopicPartition,
  atLeast: number
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const values: Array<string> = []
    while (values.length < atLeast) values.push(...valuesOf(yield* session.take(topicPartition)))
    return values
  })

/**
 * Partitions as texts, in order.
 *
 * @since 0.1.0
 */
export const named = (
  partitions: ReadonlyArray<TopicPartition.TopicPartition>
): ReadonlyArray<string> => partitions.map(TopicPartition.toKey).toSorted()
