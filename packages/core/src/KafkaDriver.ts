/**
 * The port between the library and a Kafka client.
 *
 * A driver is thin and has no policy: it turns the client's calls into Effects, tells what the
 * broker answered by its protocol code, and declares what the client cannot do. Retries, deadlines,
 * the meaning of an error and every decision about a transaction are the library's.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { ConsumerSession, ConsumerSessionOptions } from "./ConsumerDriver.ts"
import type { DriverError } from "./DriverError.ts"
import type { GroupMembership } from "./GroupOffsets.ts"
import type { TopicPartition } from "./TopicPartition.ts"
import type { TransactionAdminDriver } from "./TransactionAdminDriver.ts"

export {
  /**
   * A failed call of a client; see its own module.
   *
   * @category errors
   * @since 0.1.0
   */
  DriverError,
  /**
   * How a request failed; see its own module.
   *
   * @category models
   * @since 0.1.0
   */
  Failure,
  /**
   * The request that failed; see its own module.
   *
   * @category models
   * @since 0.1.0
   */
  type Request
} from "./DriverError.ts"

/**
 * What a client can do.
 *
 * **Details**
 *
 * *Shape*
 * - `groupFencing`: offsets in a transaction carry the group's generation (KIP-447).
 * - `stableOffsets`: committed offsets are read only when no transaction can still move them.
 * - `epochBump`: a session that replaces another asks, before it takes the transactional id,
 *   whether another instance has taken it meanwhile (KIP-360): its sessions have a `resumption`.
 * - `transactionVersion`: the newest transaction protocol the client speaks; 2 is KIP-890.
 * - `commitRetry`: a commit that was not answered can be sent again on the same session.
 * - `correctReadCommitted`: a consumer session that was opened with `read_committed` never shows a
 *   record of an aborted transaction.
 * - `revocationHold`: a revocation waits until the program has let go.
 * - `staticMembership`: KIP-345.
 * - `consumerGroupProtocol`: groups whose partitions the broker assigns (KIP-848).
 * - `lastStableOffset`: a consumer session tells the last stable offset, so that the lag of a
 *   reader under `read_committed` is exact.
 *
 * @category models
 * @since 0.1.0
 */
export interface Capabilities {
  readonly groupFencing: boolean
  readonly stableOffsets: boolean
  readonly epochBump: boolean
  readonly transactionVersion: 1 | 2
  readonly commitRetry: boolean
  readonly correctReadCommitted: boolean
  readonly revocationHold: boolean
  readonly staticMembership: boolean
  readonly consumerGroupProtocol: boolean
  readonly lastStableOffset: boolean
}

/**
 * A record as a driver writes it: encoded, with its partition already chosen.
 *
 * @category models
 * @since 0.1.0
 */
export interface EncodedRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<readonly [name: string, value: Uint8Array]>
  readonly timestamp: bigint
}

/**
 * The records of one Produce request that go to one partition, in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionBatch extends TopicPartition {
  readonly records: ReadonlyArray<EncodedRecord>
}

/**
 * What the broker answered for one {@link PartitionBatch}.
 *
 * **Details**
 *
 * *Units and bounds*: `baseOffset` is the offset of the batch's first record, `-1n` where the
 * broker does not tell; `logAppendTime` is in milliseconds since 1970, `-1n` unless the topic
 * stamps records itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appended {
  readonly baseOffset: bigint
  readonly logAppendTime: bigint
}

/**
 * The offsets of one consumer group for one transaction, as positions: the next offset to read.
 *
 * **Details**
 *
 * *Shape*: `metadata` is stored beside each offset and holds the token of this attempt, by which
 * the outcome of a transaction of offsets alone is told later.
 *
 * @category models
 * @since 0.1.0
 */
export interface OffsetCommit {
  readonly groupId: string
  readonly membership: GroupMembership
  readonly metadata: string
  readonly positions: ReadonlyArray<TopicPartition & { readonly offset: bigint }>
}

/**
 * The two ends of a transaction.
 *
 * @category models
 * @since 0.1.0
 */
export type End = "commit" | "abort"

/**
 * What ended a producer id's transaction after a given offset of a partition.
 *
 * **Details**
 *
 * *Shape*: `"none yet"` means that the partition has no end marker of that producer id up to its
 * end; `"gone"` that the log no longer holds the offset.
 *
 * @category models
 * @since 0.1.0
 */
export type EndMarker = "commit" | "abort" | "none yet" | "gone"

/**
 * The identity of a producer session.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducerIdentity {
  readonly producerId: bigint
  readonly epoch: number
}

/**
 * Whom a session acted for, given to the session that replaces it.
 *
 * **Details**
 *
 * *Shape*: `leftOpen` is the version of the transaction protocol of a transaction that the
 * coordinator may still have open, or may have ended without the session knowing; `null` where
 * there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resumption extends ProducerIdentity {
  readonly leftOpen: 1 | 2 | null
}

/**
 * One producer session: at most one (producer id, epoch), with its sequences.
 *
 * **Details**
 *
 * The library calls one method at a time. Interrupting a call abandons its answer; the library then
 * treats the request as one without an answer and never uses the session for another transaction.
 *
 * *Shape*
 * - `initialize`: one InitProducerId: with (-1, -1), which takes the transactional id from whoever
 *   has it, or, where the session was opened with `resume`, only if nobody else has taken it since.
 *   Otherwise it fails with PRODUCER_FENCED. It is repeated by the library after a refusal such as
 *   CONCURRENT_TRANSACTIONS, on the same session.
 * - `begin`: opens the next transaction at the client; writes nothing.
 * - `send`: registers the partitions and sends each batch, one attempt. It answers for each batch
 *   in the order given and never fails as a whole. A batch that is sent again after a failure must
 *   keep its sequence: the library repeats exactly the same batches or gives up.
 * - `sendOffsets`: AddOffsetsToTxn and TxnOffsetCommit, one attempt each.
 * - `end`: one EndTxn. Where the failed request is not `EndTxn` itself, EndTxn was not sent.
 * - `identity`: who acts in the next transaction, where that changes from one to the next: at
 *   version 2 of the transaction protocol every EndTxn answers a new epoch, and a new producer id
 *   when the epochs are used up. Left out, it stays what `initialize` answered.
 * - `resumption`: what the session that replaces this one needs to ask before it takes the
 *   transactional id. Of a driver with `epochBump` alone; `null` before `initialize`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducerSession {
  readonly initialize: Effect.Effect<ProducerIdentity, DriverError>
  readonly begin: Effect.Effect<void, DriverError>
  readonly send: (
    batches: ReadonlyArray<PartitionBatch>
  ) => Effect.Effect<ReadonlyArray<Result.Result<Appended, DriverError>>>
  readonly sendOffsets: (offsets: OffsetCommit) => Effect.Effect<void, DriverError>
  readonly end: (end: End) => Effect.Effect<void, DriverError>
  readonly identity?: () => ProducerIdentity
  readonly resumption?: () => Resumption | null
}

/**
 * How a producer session is opened.
 *
 * **Details**
 *
 * *Shape*: `resume` is the `resumption` of the session that this one replaces. Left out, the
 * transactional id is taken over.
 *
 * *Units and bounds*: times are in milliseconds, as clients and the protocol take them.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionOptions {
  readonly transactionalId: string
  readonly resume?: Resumption
  readonly transactionTimeoutMillis: number
  readonly requestTimeoutMillis: number
}

/**
 * The port between the library and a Kafka client.
 *
 * **When to use**
 *
 * Use a driver's own layer, such as `KafkaJs.layer`, to provide it; implement it to put the library
 * on another client, and prove the implementation with the contract suite of this repository.
 *
 * **Details**
 *
 * *Shape*
 * - `partitionCount`: how many partitions a topic has, asked anew at each call.
 * - `probe`: succeeds when a broker answers a request.
 * - `openSession`: connects a session; closing the scope closes its sockets, after which nothing of
 *   it is sent.
 * - `endMarker`: reads forward from `offset`, uncommitted, to the first end marker of `producerId`.
 * - `committedOffsets`: a group's committed positions with their metadata, `null` where it has
 *   none.
 * - `openConsumer`: joins a group; `null` where the client has no consumer. See `ConsumerSession`.
 * - `transactionAdmin`: what operators ask about transactions; left out where the client cannot ask
 *   it. See `TransactionAdmin`.
 *
 * @category services
 * @since 0.1.0
 */
export class KafkaDriver extends Context.Service<KafkaDriver, {
  readonly name: string
  readonly capabilities: Capabilities
  readonly probe: Effect.Effect<void, DriverError>
  readonly partitionCount: (topic: string) => Effect.Effect<number, DriverError>
  readonly openSession: (
    options: SessionOptions
  ) => Effect.Effect<ProducerSession, DriverError, Scope.Scope>
  readonly endMarker: (
    topicPartition: TopicPartition,
    offset: bigint,
    producerId: bigint
  ) => Effect.Effect<EndMarker, DriverError>
  readonly committedOffsets: (
    groupId: string,
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<CommittedOffset>, DriverError>
  readonly openConsumer:
    | ((
      options: ConsumerSessionOptions
    ) => Effect.Effect<ConsumerSession, DriverError, Scope.Scope>)
    | null
  readonly transactionAdmin?: TransactionAdminDriver
}>()("@kafka-once/core/KafkaDriver") {}

/**
 * A group's committed position in one partition.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommittedOffset extends TopicPartition {
  readonly offset: bigint | null
  readonly metadata: string | null
}
