/**
 * Consume, transform, produce: each record's results and its offset in one transaction.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConsumerPosition } from "./Consumer.ts"
import type { ConsumerEvent } from "./ConsumerEvent.ts"
import * as Options from "./ExactlyOnceOptions.ts"
import type { Batch, ExactlyOnceOptions } from "./ExactlyOnceOptions.ts"
import { positionsOf } from "./internal/consumer/positions.ts"
import * as Pipeline from "./internal/pipeline/pipeline.ts"
import type { KafkaDriver } from "./KafkaDriver.ts"
import type { KafkaError } from "./KafkaError.ts"
import type { ProducerRecord } from "./ProducerRecord.ts"
import type { Decoded } from "./Topic.ts"
import * as Transaction from "./Transaction.ts"

/**
 * A pipeline that runs.
 *
 * **Details**
 *
 * *Shape*
 * - `failed`: waits until the pipeline cannot go on, and fails with why.
 * - `events`: what happens to its member of the group from now on; a subscriber that lags by more
 *   than 1,024 loses the oldest.
 * - `positions`: how far it is in each partition that it owns. A position is of what was fetched;
 *   what is committed is the group's.
 *
 * @category models
 * @since 0.1.0
 */
export interface Running<E> {
  readonly failed: Effect.Effect<never, E | KafkaError>
  readonly events: Stream.Stream<ConsumerEvent>
  readonly positions: Effect.Effect<ReadonlyArray<ConsumerPosition>>
}

/**
 * Runs a pipeline until it is interrupted, or cannot go on.
 *
 * **When to use**
 *
 * Use it for everything that reads from Kafka and writes to Kafka. {@link layer} is the same for
 * `Layer.launch`; {@link make} gives its events and positions to the program.
 *
 * **Details**
 *
 * *What it promises*: for each record of the input, what `process` sends is committed together with
 * the offset behind it. After any failure, also of the process or the network, the records from the
 * committed offset on are read again, and nothing of a transaction that did not commit is seen by
 * readers under `read_committed`.
 *
 * *Partitions* are processed side by side, and each in order. Without group fencing in the driver
 * each has a transactional id of its own; with it they share the process's.
 *
 * *Rebalances*: when a partition is taken away, its transaction finishes or is aborted within the
 * group's patience; when it is lost, its transaction aborts. Nothing is committed for a partition
 * that is another member's.
 *
 * *Poison*: records that `process` fails on are tried again by the schedule `retry`, then in
 * halves, until the one is found that fails by itself. It goes to `deadLetterTopic` in the same
 * transaction as its offset, with headers that tell the error, where it comes from and how often it
 * was tried.
 *
 * *Interruption* drains: nothing more is read, what is open finishes or is aborted after
 * `drainTimeout`, and the member leaves its group.
 *
 * *While brokers do not answer* it waits, says so with the event `Unreachable`, and goes on by
 * itself. Nothing is read meanwhile beyond the bounds of the prefetch.
 *
 * *Errors*: what `process` fails with, where there is no dead-letter topic; and `KafkaError`:
 * `Misconfigured` and `UnsupportedByDriver` before anything is read; `UnknownTopic`, also when a
 * topic of the input is deleted later; `NotAuthorized`; `TransactionTimedOut` where `process` takes
 * too long three times from one position; `ProducerFenced` where another pipeline uses its
 * transactional ids; `OffsetOutOfRange`; `UndecodableRecord` without a dead-letter topic. A defect
 * of `process` stays the same defect.
 *
 * **Gotchas**
 *
 * What `process` does besides sending, such as a call of another service, may be done again.
 *
 * **Example** (Amounts above 1,000)
 *
 * ```ts
 * import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
 * import * as Topic from "@kafka-once/core/Topic"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const orders = Topic.make({
 *   name: "orders",
 *   key: Topic.text,
 *   value: Topic.json(Schema.Struct({ amount: Schema.Finite }))
 * })
 *
 * export const program = ExactlyOnce.run({
 *   groupId: "large-orders",
 *   input: orders,
 *   deadLetterTopic: "orders-dead",
 *   process: ExactlyOnce.eachRecord(({ key, value }) =>
 *     Effect.succeed(
 *       value.amount > 1_000 ? [{ topic: "large", key, value: String(value.amount) }] : []
 *     )
 *   )
 * })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = <K, V, E, R>(
  options: ExactlyOnceOptions<K, V, E, R>
): Effect.Effect<
  never,
  E | KafkaError,
  KafkaDriver | Exclude<R, Transaction.Transaction>
> => Effect.scoped(Effect.flatMap(makeIn(options), ({ failed }) => failed))

/**
 * Starts a pipeline in the current scope; closing the scope drains it. See {@link run}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K, V, E, R>(
  options: ExactlyOnceOptions<K, V, E, R>
): Effect.Effect<
  Running<E>,
  KafkaError,
  KafkaDriver | Scope.Scope | Exclude<R, Transaction.Transaction>
> => makeIn(options)

const makeIn = <K, V, E, R>(options: ExactlyOnceOptions<K, V, E, R>) =>
  Effect.gen(function*() {
    const settings = yield* Options.resolve(options)
    const { failed, member } = yield* Pipeline.make(settings)
    const running: Running<E> = {
      failed,
      events: Stream.fromPubSub(member.events),
      positions: Effect.sync(() => positionsOf(member))
    }
    return running
  })

/**
 * A pipeline as a layer that is being built for as long as it runs, so that `Layer.launch` fails
 * with what it fails with. It provides nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <K, V, E, R>(
  options: ExactlyOnceOptions<K, V, E, R>
): Layer.Layer<never, E | KafkaError, KafkaDriver | Exclude<R, Transaction.Transaction>> =>
  Layer.effectDiscard(run(options))

/**
 * A `process` of single records: what it answers for each is sent, in the order of the records, in
 * one request.
 *
 * @category processing
 * @since 0.1.0
 */
export const eachRecord = <K, V, E, R>(
  process: (record: Decoded<K, V>) => Effect.Effect<ReadonlyArray<ProducerRecord>, E, R>
) =>
({ records }: Batch<K, V>): Effect.Effect<void, E | KafkaError, R | Transaction.Transaction> =>
  Effect.flatMap(Effect.forEach(records, process), (outputs) => {
    const all = outputs.flat()
    return all.length === 0 ? Effect.void : Effect.asVoid(Transaction.send(all))
  })

/**
 * A `process` that is a stage of a stream: the records of a batch go in, and what comes out is
 * sent.
 *
 * @category processing
 * @since 0.1.0
 */
export const stage = <K, V, E, R>(
  transform: (records: Stream.Stream<Decoded<K, V>>) => Stream.Stream<ProducerRecord, E, R>
) =>
({ records }: Batch<K, V>): Effect.Effect<void, E | KafkaError, R | Transaction.Transaction> =>
  Stream.run(transform(Stream.fromIterable(records)), Transaction.sink)
