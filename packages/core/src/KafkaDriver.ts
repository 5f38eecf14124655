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
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { GroupMembership } from "./GroupOffsets.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * What a client can do.
 *
 * **Details**
 *
 * *Shape*
 * - `groupFencing`: offsets in a transaction carry the group's generation (KIP-447).
 * - `stableOffsets`: committed offsets are read only when no transaction can still move them.
 * - `epochBump`: InitProducerId with the current producer id and epoch (KIP-360), which also tells
 *   a timeout from a fence (KIP-588).
 * - `transactionVersion`: the newest transaction protocol the client speaks; 2 is KIP-890.
 * - `commitRetry`: a commit that was not answered can be sent again on the same session.
 * - `correctReadCommitted`: the client's own reader never shows a record of an aborted transaction.
 * - `revocationHold`: a revocation waits until the program has let go.
 * - `staticMembership`: KIP-345.
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
}

/**
 * The request that failed, by its protocol name. `Connect` is everything before the first request:
 * name look-up, TCP, TLS and authentication.
 *
 * @category models
 * @since 0.1.0
 */
export type Request =
  | "Connect"
  | "Metadata"
  | "FindCoordinator"
  | "InitProducerId"
  | "AddPartitionsToTxn"
  | "Produce"
  | "AddOffsetsToTxn"
  | "TxnOffsetCommit"
  | "EndTxn"
  | "Fetch"
  | "OffsetFetch"

/**
 * How a request failed.
 *
 * **Details**
 *
 * *Shape*
 * - `Answered`: the broker refused with this protocol code. It has not done what was asked, except
 *   where the code's meaning says otherwise.
 * - `NoAnswer`: the request was, or may have been, written, and no answer came. The broker may have
 *   acted, or may act later.
 * - `NotSent`: no byte of the request was written: no connection, or the session is closed.
 * - `TlsFailed`: the TLS handshake failed, for example on a certificate; nothing was written.
 * - `NotKafka`: what answered does not speak Kafka's protocol, or its answer cannot be read.
 * - `Refused`: the client itself refused the call, and nothing was written.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure = Data.TaggedEnum<{
  Answered: { readonly code: number }
  NoAnswer: {}
  NotSent: {}
  TlsFailed: {}
  NotKafka: {}
  Refused: {}
}>

/**
 * Constructors and matchers of {@link Failure}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const Failure = Data.taggedEnum<Failure>()

/**
 * A failed call of a client.
 *
 * **Details**
 *
 * *Shape*: `detail` is the client's own message, for people. It never holds a record's key or
 * value, nor a secret: the client's error objects can carry options, so they are not attached.
 *
 * @category errors
 * @since 0.1.0
 */
export class DriverError extends Data.TaggedError("DriverError")<{
  readonly request: Request
  readonly failure: Failure
  readonly detail: string
}> {
  override get message(): string {
    const how = this.failure._tag === "Answered" ? `code ${this.failure.code}` : this.failure._tag
    return `${this.request}: ${how}: ${this.detail}`
  }
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
 * One producer session: at most one (producer id, epoch), with its sequences.
 *
 * **Details**
 *
 * The library calls one method at a time. Interrupting a call abandons its answer; the library then
 * treats the request as one without an answer and never uses the session for another transaction.
 *
 * *Shape*
 * - `initialize`: one InitProducerId with (-1, -1). It is repeated by the library after a refusal
 *   such as CONCURRENT_TRANSACTIONS, on the same session.
 * - `begin`: opens the next transaction at the client; writes nothing.
 * - `send`: registers the partitions and sends each batch, one attempt. It answers for each batch
 *   in the order given and never fails as a whole. A batch that is sent again after a failure must
 *   keep its sequence: the library repeats exactly the same batches or gives up.
 * - `sendOffsets`: AddOffsetsToTxn and TxnOffsetCommit, one attempt each.
 * - `end`: one EndTxn. Where the failed request is not `EndTxn` itself, EndTxn was not sent.
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
}

/**
 * How a producer session is opened.
 *
 * **Details**
 *
 * *Units and bounds*: times are in milliseconds, as clients and the protocol take them.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionOptions {
  readonly transactionalId: string
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
