/**
 * The consuming half of the port between the library and a Kafka client.
 *
 * As in the producing half a driver is thin: it fetches, heartbeats and takes part in the group,
 * and tells what happens. Which position a partition starts from, what is committed and when, what
 * becomes of a batch when its partition is revoked, and whether to join again, is the library's.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { DriverError } from "./DriverError.ts"
import type { GroupMembership } from "./GroupOffsets.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * Which records a consumer sees.
 *
 * @category models
 * @since 0.1.0
 */
export type Isolation = "read_committed" | "read_uncommitted"

/**
 * How the members of a group share its partitions.
 *
 * **Details**
 *
 * *Shape*
 * - `"classic"`: one of the members assigns them, and each rebalance takes all from everyone first.
 * - `"consumer"`: the broker assigns them (KIP-848), and takes from a member only what is to go to
 *   another; the rest goes on being read meanwhile.
 *
 * @category models
 * @since 0.1.0
 */
export type GroupProtocolName = "classic" | "consumer"

/**
 * How a consumer session is opened.
 *
 * **Details**
 *
 * *Shape*: every setting is given, so that no default of a client decides anything.
 * `groupInstanceId` is `null` unless the driver declares `staticMembership`, and `groupProtocol` is
 * `"classic"` unless it declares `consumerGroupProtocol`. With `"consumer"` the broker says how
 * often there is a heartbeat, and for how long it waits for one: `heartbeatIntervalMillis` is then
 * used only until it has, and `sessionTimeoutMillis` is how long the session goes on without an
 * answer.
 *
 * *Units and bounds*: times are in milliseconds. One fetch answers at most `maxFetchBytes`, of one
 * partition at most `maxPartitionFetchBytes`, except that one batch of records is always answered
 * whole. What is fetched and not taken yet stays below `maxPrefetchRecords` and `maxPrefetchBytes`
 * for the whole session, except that each partition may hold the one fetch that was on its way.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerSessionOptions {
  readonly groupId: string
  readonly groupProtocol: GroupProtocolName
  readonly groupInstanceId: string | null
  readonly topics: ReadonlyArray<string>
  readonly isolation: Isolation
  readonly sessionTimeoutMillis: number
  readonly rebalanceTimeoutMillis: number
  readonly heartbeatIntervalMillis: number
  readonly requestTimeoutMillis: number
  readonly maxFetchWaitMillis: number
  readonly maxFetchBytes: number
  readonly maxPartitionFetchBytes: number
  readonly maxPrefetchRecords: number
  readonly maxPrefetchBytes: number
}

/**
 * A record as it was read.
 *
 * **Details**
 *
 * *Units and bounds*: `timestamp` is in milliseconds since 1970. Keys, values and headers are views
 * of what was fetched where that is cheaper; nobody writes into them.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchedRecord {
  readonly offset: bigint
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<readonly [name: string, value: Uint8Array | null]>
}

/**
 * What was fetched of one partition in one go.
 *
 * **Details**
 *
 * *Shape*
 * - `membership`: the generation and member under which it was fetched.
 * - `position`: where it starts, which is the `nextOffset` of the batch before it, or the offset
 *   that was sought. The first record may have a higher one: logs have gaps.
 * - `nextOffset`: where the next batch starts, past control records and what was filtered out, so
 *   that `records` may be empty.
 * - `bytes`: of keys, values and headers, roughly.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchedBatch extends TopicPartition {
  readonly membership: GroupMembership
  readonly position: bigint
  readonly nextOffset: bigint
  readonly records: ReadonlyArray<FetchedRecord>
  readonly bytes: number
}

/**
 * Where to read a partition from.
 *
 * @category models
 * @since 0.1.0
 */
export type StartAt = bigint | "earliest" | "latest"

/**
 * Offsets of one partition as the last answer to a fetch told them.
 *
 * **Details**
 *
 * *Shape*: `lastStableOffset` is `null` unless the driver declares the capability of that name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watermarks {
  readonly highWatermark: bigint
  readonly lastStableOffset: bigint | null
}

/**
 * What happens to a consumer session that nobody asked for.
 *
 * **Details**
 *
 * *Shape*
 * - `Assigned`: the session owns these partitions besides those that it already had, under this
 *   membership. Nothing of them is fetched until their first `seek`. A generation that changes
 *   nothing else is told with no partitions: what it had is now owned under the new membership.
 *   In the consumer protocol the member's epoch stands for the generation, and a member that has
 *   joined may have to wait for its first partitions.
 * - `Revoking`: the group takes these partitions away, and waits. The driver fetches nothing more
 *   of them, and goes on with the rebalance when `release` is run, or after `budgetMillis`, after
 *   which it tells `Lost`. In the classic protocol these are all partitions; in the consumer
 *   protocol some of them, and more may be told before the first are released. Only drivers with
 *   `revocationHold` tell it.
 * - `Lost`: these partitions are no longer owned, and another member may have them. Nothing fetched
 *   under the old membership can be committed. The session goes on, and joins again by itself.
 * - `OutOfRange`: the position is not in the log, because it was deleted or never written. The
 *   partition waits for a `seek`.
 * - `Disturbed`: a fetch or a heartbeat failed and is being repeated; told once, until `Recovered`
 *   says that brokers answer again. For people and dashboards.
 *
 * @category models
 * @since 0.1.0
 */
export type SessionEvent = Data.TaggedEnum<{
  Assigned: {
    readonly membership: GroupMembership
    readonly partitions: ReadonlyArray<TopicPartition>
  }
  Revoking: {
    readonly partitions: ReadonlyArray<TopicPartition>
    readonly budgetMillis: number
    readonly release: Effect.Effect<void>
  }
  Lost: { readonly partitions: ReadonlyArray<TopicPartition> }
  OutOfRange: { readonly topicPartition: TopicPartition; readonly position: bigint }
  Disturbed: { readonly error: DriverError }
  Recovered: {}
}>

/**
 * Constructors and matchers of {@link SessionEvent}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const SessionEvent = Data.taggedEnum<SessionEvent>()

/**
 * One member of a consumer group, in a Scope.
 *
 * **Details**
 *
 * *Back-pressure* is the driver's: the library takes, and a driver fetches ahead only as far as the
 * bounds of {@link ConsumerSessionOptions} allow. A partition that nobody takes from must not keep
 * the others from being fetched.
 *
 * *Shape*
 * - `nextEvent`: waits for the next event; one fiber calls it, and an interrupted call loses none.
 *   It fails when the session is over: it was refused for good (rights, an unknown topic, a fenced
 *   instance id), or the coordinator has not answered for `sessionTimeoutMillis`. Failures that the
 *   session survives, such as a leader that moved, are repeated by the driver and told as
 *   `Disturbed`.
 * - `take`: waits for the next batch of one partition that it owns. Batches of a partition come in
 *   order and without gaps in `position`. It waits for ever where nothing is fetched: not sought
 *   yet, paused, or no longer owned; the library then interrupts it. An interrupted call takes
 *   nothing.
 * - `seek`: reads a partition from there on; what was fetched of it before is dropped, a fetch that
 *   is on its way included. Nobody takes from the partition meanwhile. `"earliest"` and `"latest"`
 *   are looked up under the session's isolation. A call that fails or is interrupted changes
 *   nothing later.
 * - `pause`, `resume`: stop and go on fetching; what is fetched of a paused partition is dropped
 *   where it would use up the bounds, and fetched again later.
 * - `settled`: everything of the partition below the offset is done. A client that can hold a
 *   revocation only by not returning from its handler uses it to return.
 * - `heartbeat`: one heartbeat, written after the call and answered before the return; heartbeats
 *   in between are the driver's own. Fails with the code 27 while a classic rebalance waits for
 *   this member, and with 22, 25, 82 or 110 where it is no longer one.
 * - `commit`: OffsetCommit with the membership given, one attempt.
 * - `watermarks`: `null` before the first answer.
 *
 * Closing the scope stops fetching, leaves the group, and closes the session's sockets. A held
 * revocation is released. A static member keeps its partitions until it comes back or its time is
 * over: in the classic protocol it goes without a word, in the consumer protocol it says so.
 *
 * *Interruption* of `heartbeat` and `commit` abandons the answer, and the request may be acted on.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerSession {
  readonly nextEvent: Effect.Effect<SessionEvent, DriverError>
  readonly take: (topicPartition: TopicPartition) => Effect.Effect<FetchedBatch>
  readonly seek: (topicPartition: TopicPartition, to: StartAt) => Effect.Effect<void, DriverError>
  readonly pause: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  readonly resume: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  readonly settled: (topicPartition: TopicPartition, offset: bigint) => Effect.Effect<void>
  readonly heartbeat: Effect.Effect<void, DriverError>
  readonly commit: (
    membership: GroupMembership,
    positions: ReadonlyArray<TopicPartition & { readonly offset: bigint }>
  ) => Effect.Effect<void, DriverError>
  readonly watermarks: (topicPartition: TopicPartition) => Watermarks | null
}
