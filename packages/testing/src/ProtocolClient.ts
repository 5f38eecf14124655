/**
 * Kafka's protocol by hand, for tests and tools: one request on one socket, one answer, and what
 * record batches hold.
 *
 * It shares no code with any client, so that it can check them. It retries nothing, follows no
 * leader and hides no error code.
 *
 * **Example** (Which partitions a topic has)
 *
 * ```ts
 * import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.scoped(Effect.gen(function*() {
 *   const client = yield* ProtocolClient.connect("127.0.0.1", 9092)
 *   const { topics } = yield* client.request("Metadata", 12, { topics: [{ name: "orders" }] })
 *   return topics[0]?.partitions.length
 * }))
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ErrorCode from "./internal/protocol/errorCode.ts"
import type * as Frame from "./internal/protocol/frame.ts"
import * as Client from "./internal/protocol/protocolClient.ts"
import type * as Failure from "./internal/protocol/protocolError.ts"
import * as Batches from "./internal/protocol/recordBatch.ts"

/**
 * The name of an API, as in Kafka's own message definitions: `Produce`, `EndTxn`, ...
 *
 * @category models
 * @since 0.1.0
 */
export type ApiName = Frame.ApiName

/**
 * The fields of a request. What is left out has Kafka's default.
 *
 * @category models
 * @since 0.1.0
 */
export type RequestBody<Name extends ApiName> = Frame.RequestBody<Name>

/**
 * The fields of an answer. Those that its version does not have are absent.
 *
 * @category models
 * @since 0.1.0
 */
export type ResponseBody<Name extends ApiName> = Frame.ResponseBody<Name>

/**
 * What can be wrong with bytes, with a message that is to become bytes, or with the socket: a
 * `reason` with a tag.
 *
 * @category errors
 * @since 0.1.0
 */
export type ProtocolError = Failure.ProtocolError

/**
 * A connection.
 *
 * **Details**
 *
 * *Shape*
 * - `request`: sends one request in the version that is named, and waits for its answer. Others may
 *   be sent meanwhile.
 * - `sendRaw`: sends bytes as they are and waits for nothing, for input that no client would send.
 *
 * @category models
 * @since 0.1.0
 */
export type ProtocolClient = Client.ProtocolClient

/**
 * How to connect.
 *
 * **Details**
 *
 * *Units and bounds*: `requestTimeout` bounds the connecting and every answer; 10 seconds by
 * default.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = Client.Options

/**
 * Opens a connection that lives as long as the scope.
 *
 * **Details**
 *
 * *Errors*: `ProtocolError` with the reason `NotConnected`, also for an answer that does not come
 * in time. An error code in an answer is no failure here.
 *
 * **Gotchas**
 *
 * No TLS and no SASL exchange: for a listener without both.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect: (
  host: string,
  port: number,
  options?: Options
) => Effect.Effect<ProtocolClient, ProtocolError, Scope.Scope> = Client.connect

/**
 * A record batch as it lies in the log.
 *
 * **Details**
 *
 * *Shape*: `producerId`, `producerEpoch` and `baseSequence` are -1 where no idempotent producer
 * wrote it. `control` is the decision of an end marker, `other` a control record that ends no
 * transaction, and `null` for a batch of data.
 *
 * @category models
 * @since 0.1.0
 */
export type RecordBatch = Batches.RecordBatch

/**
 * One record of a batch.
 *
 * @category models
 * @since 0.1.0
 */
export type LogRecord = Batches.LogRecord

/**
 * Reads the whole batches of what a Fetch answered; one that was cut off at its end is left out.
 *
 * **Details**
 *
 * *Errors*: `ProtocolError` for bytes that are no batches of format 2, and for a compression that
 * Node cannot undo by itself.
 *
 * @category operations
 * @since 0.1.0
 */
export const readBatches = (
  bytes: Uint8Array
): Effect.Effect<ReadonlyArray<RecordBatch>, ProtocolError> =>
  Effect.suspend(() => Effect.fromResult(Batches.readAll(bytes)))

/**
 * The name of an error code, such as `NOT_COORDINATOR`; the number itself where Kafka 4.4 has none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const errorName = (code: number): string => ErrorCode.nameOf(code)
