/**
 * The requests of a consumer, for clients that offer these rather than a consumer.
 *
 * A driver whose client speaks them implements {@link GroupProtocol}, one attempt each, and gets
 * from `GroupSession` everything that a `ConsumerSession` must do. A client that hides these
 * requests implements `ConsumerSession` itself.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { FetchedRecord, Isolation } from "./ConsumerDriver.ts"
import type { DriverError } from "./DriverError.ts"
import type { GroupMembership } from "./GroupOffsets.ts"
import type { AbortedTransaction, LogBatch } from "./ReadCommitted.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * A topic as metadata tells it.
 *
 * **Details**
 *
 * *Shape*: `code` is 0, or why the topic cannot be used. `leaders` has the node that leads each
 * partition, by its number; `null` where there is none at the moment. `topicId` is what the broker
 * calls the topic in an assignment; left out, or `null`, where the client does not know it.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicLeaders {
  readonly topic: string
  readonly code: number
  readonly topicId?: string | null
  readonly leaders: ReadonlyArray<number | null>
}

/**
 * What a member asks for when it joins.
 *
 * **Details**
 *
 * *Shape*: `memberId` is empty at first. A client that is answered 79 (MEMBER_ID_REQUIRED) repeats
 * the request with the id that came with it. The broker answers when all members have joined, which
 * takes up to `rebalanceTimeoutMillis`.
 *
 * @category models
 * @since 0.1.0
 */
export interface JoinRequest {
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly sessionTimeoutMillis: number
  readonly rebalanceTimeoutMillis: number
  readonly protocols: ReadonlyArray<{ readonly name: string; readonly metadata: Uint8Array }>
}

/**
 * How a member has joined; `members` are told to the one that leads only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Joined {
  readonly generationId: number
  readonly memberId: string
  readonly leaderId: string
  readonly members: ReadonlyArray<{ readonly memberId: string; readonly metadata: Uint8Array }>
}

/**
 * What the leading member gives to the others, and every member asks for.
 *
 * @category models
 * @since 0.1.0
 */
export interface SyncRequest {
  readonly groupId: string
  readonly membership: GroupMembership
  readonly protocol: string
  readonly assignments: ReadonlyArray<
    { readonly memberId: string; readonly assignment: Uint8Array }
  >
}

/**
 * Partitions of one topic, which the consumer protocol (KIP-848) calls by its id.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicIdPartitions {
  readonly topicId: string
  readonly partitions: ReadonlyArray<number>
}

/**
 * A ConsumerGroupHeartbeat: what a member of a group of the consumer protocol (KIP-848) joins with,
 * stays with, and leaves with.
 *
 * **Details**
 *
 * *Shape*
 * - `memberEpoch`: 0 to join, the epoch of the last answer to stay, -1 to leave, and -2 to leave as
 *   a static member that may come back.
 * - `subscription`: what the member asks for; `null` where nothing of it has changed since the last
 *   heartbeat that was answered.
 * - `partitions`: what the member owns, those that it is asked to give back included until it has;
 *   `null` where that has not changed since the last heartbeat that was answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerHeartbeat {
  readonly groupId: string
  readonly memberId: string
  readonly memberEpoch: number
  readonly groupInstanceId: string | null
  readonly subscription: {
    readonly topics: ReadonlyArray<string>
    readonly rebalanceTimeoutMillis: number
  } | null
  readonly partitions: ReadonlyArray<TopicIdPartitions> | null
}

/**
 * What the coordinator answers a ConsumerGroupHeartbeat.
 *
 * **Details**
 *
 * *Shape*: `assignment` is all that the member may own now, `null` where that has not changed.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerHeartbeatAnswer {
  readonly memberEpoch: number
  readonly heartbeatIntervalMillis: number
  readonly assignment: ReadonlyArray<TopicIdPartitions> | null
}

/**
 * What is fetched from one node.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchRequest {
  readonly isolation: Isolation
  readonly maxWaitMillis: number
  readonly maxBytes: number
  readonly maxPartitionBytes: number
  readonly partitions: ReadonlyArray<TopicPartition & { readonly offset: bigint }>
}

/**
 * A batch of a fetch, as it came. `records` decompresses and decodes it; it is asked for only where
 * the filter lets the batch through, and only when somebody takes it.
 *
 * **Details**
 *
 * *Units and bounds*: `count` is how many records its header tells of, `bytes` how many bytes of
 * the log it takes; the bounds of the prefetch count these.
 *
 * @category models
 * @since 0.1.0
 */
export interface EncodedBatch extends LogBatch {
  readonly count: number
  readonly bytes: number
  readonly records: Effect.Effect<ReadonlyArray<FetchedRecord>, DriverError>
}

/**
 * What a fetch answers of one partition. `batches` is empty where `code` is not 0, and has whole
 * batches only.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionFetch extends TopicPartition {
  readonly code: number
  readonly highWatermark: bigint
  readonly lastStableOffset: bigint
  readonly aborted: ReadonlyArray<AbortedTransaction>
  readonly batches: ReadonlyArray<EncodedBatch>
}

/**
 * The requests of a consumer, as a client sends them.
 *
 * **Details**
 *
 * *Shape*: each is one attempt, bounded by the client's request timeout (a join by the rebalance
 * timeout besides). Requests to the group go to its coordinator, which the client looks up and
 * remembers until a request to it fails. `fetch` and `listOffset` are told the node; a fetch that
 * waits for records must not hold up the requests to the group. `consumerHeartbeat` is left out by
 * a client that does not speak the consumer protocol; `join`, `sync`, `heartbeat` and `leave` are
 * the classic one's.
 *
 * *Concurrency*: there is at most one `fetch` to a node at a time. Requests to the group may
 * overlap with one another; the client may send them in turn.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupProtocol {
  readonly leaders: (
    topics: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<TopicLeaders>, DriverError>
  readonly join: (request: JoinRequest) => Effect.Effect<Joined, DriverError>
  readonly sync: (request: SyncRequest) => Effect.Effect<Uint8Array, DriverError>
  readonly heartbeat: (
    groupId: string,
    membership: GroupMembership
  ) => Effect.Effect<void, DriverError>
  readonly leave: (
    groupId: string,
    membership: GroupMembership
  ) => Effect.Effect<void, DriverError>
  readonly consumerHeartbeat?: (
    heartbeat: ConsumerHeartbeat
  ) => Effect.Effect<ConsumerHeartbeatAnswer, DriverError>
  readonly commit: (
    groupId: string,
    membership: GroupMembership,
    positions: ReadonlyArray<TopicPartition & { readonly offset: bigint }>
  ) => Effect.Effect<void, DriverError>
  readonly fetch: (
    node: number,
    request: FetchRequest
  ) => Effect.Effect<ReadonlyArray<PartitionFetch>, DriverError>
  readonly listOffset: (
    node: number,
    topicPartition: TopicPartition,
    at: "earliest" | "latest",
    isolation: Isolation
  ) => Effect.Effect<bigint, DriverError>
}
