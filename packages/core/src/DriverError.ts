/**
 * How a request to a broker failed, as a driver tells it.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

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
  | "ListOffsets"
  | "OffsetFetch"
  | "JoinGroup"
  | "SyncGroup"
  | "Heartbeat"
  | "OffsetCommit"
  | "LeaveGroup"
  | "ConsumerGroupHeartbeat"
  | "ListTransactions"
  | "DescribeTransactions"
  | "DescribeProducers"
  | "WriteTxnMarkers"
  | "DescribeConfigs"

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
