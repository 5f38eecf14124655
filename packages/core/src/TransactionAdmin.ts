/**
 * What operators do about transactions: see which there are, find those that nobody will end, and
 * end them.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as AbortHanging from "./internal/admin/abortHanging.ts"
import { aboutId, aboutPartition, ask, start } from "./internal/admin/ask.ts"
import * as Hanging from "./internal/admin/hanging.ts"
import * as Listing from "./internal/admin/listing.ts"
import * as BoundedDuration from "./internal/boundedDuration.ts"
import { KafkaDriver, type ProducerIdentity } from "./KafkaDriver.ts"
import { Misconfigured, UnsupportedByDriver } from "./KafkaError.ts"
import type { TopicPartition } from "./TopicPartition.ts"
import type {
  CoordinatorState,
  ProducerState,
  TransactionDescription,
  TransactionListing
} from "./TransactionAdminDriver.ts"
import { type HangingTransaction, TransactionAdminError } from "./TransactionAdminError.ts"

/**
 * Settings of the admin.
 *
 * **Details**
 *
 * *Units and bounds*: `timeout` (15 seconds) bounds each operation as a whole.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly timeout?: Duration.Input | undefined
}

/**
 * Which transactions a list is to hold; what is left out does not limit it.
 *
 * **Details**
 *
 * *Shape*: `pattern` is a regular expression (RE2) that the whole transactional id must match; it
 * needs brokers of Kafka 4.1. `openLongerThan` needs brokers of Kafka 3.8, and leaves out what is
 * not open. A broker without them fails `UnsupportedByBroker`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOptions {
  readonly states?: ReadonlyArray<CoordinatorState> | undefined
  readonly producerIds?: ReadonlyArray<bigint> | undefined
  readonly openLongerThan?: Duration.Input | undefined
  readonly pattern?: string | undefined
}

/**
 * Where to look for hanging transactions, and from what age.
 *
 * **Details**
 *
 * *Shape*: `topics` are all that the principal may see when left out. `olderThan` is the largest
 * `transaction.max.timeout.ms` of the brokers when left out: no transaction in good order is open
 * for longer. It is compared with the timestamps of records, which their programs may have chosen.
 *
 * @category models
 * @since 0.1.0
 */
export interface FindOptions {
  readonly topics?: ReadonlyArray<string> | undefined
  readonly olderThan?: Duration.Input | undefined
}

/**
 * Which transaction to abort in one partition, as `findHanging` and `describeProducers` tell it.
 *
 * **Details**
 *
 * *Shape*: with `startOffset` it is refused when the producer has another one open by now.
 *
 * @category models
 * @since 0.1.0
 */
export type AbortTarget = AbortHanging.Target

/**
 * How to abort.
 *
 * **Details**
 *
 * *Shape*: `force` writes the marker without looking at anything, as the Java client and
 * `kafka-transactions.sh abort` do. Of a transaction in good order it tears one partition out.
 *
 * @category models
 * @since 0.1.0
 */
export interface AbortOptions {
  readonly force?: boolean | undefined
}

/**
 * The transactions of a cluster, for operators.
 *
 * **When to use**
 *
 * Use it when readers under `read_committed` stand still, to see what they wait for and end it; and
 * to fence a producer that nobody can stop. docs/operations.md says step by step what to do.
 *
 * **Details**
 *
 * *Shape*
 * - `list`: all transactional ids that pass the filter, asked of every broker.
 * - `describe`: one transactional id, with the partitions that its open transaction has.
 * - `describeProducers`: who has written to one partition, and what is open there.
 * - `findHanging`: transactions that are open in a partition while no coordinator will end them.
 * - `abort`: ends a hanging transaction in one partition.
 * - `fence`: aborts what a transactional id has open, and makes its producer fail `ProducerFenced`.
 *   Answers with the identity that has taken its place.
 *
 * *Units and bounds*: each takes at most `timeout`. Coordinators and leaders that move are looked
 * up again meanwhile.
 *
 * *Errors*: `TransactionAdminError`. `Incomplete` where a part of the cluster did not answer, with
 * what the rest has told; never a part in place of the whole.
 *
 * *Source*: KIP-664, and the Java client's `ListTransactionsHandler`,
 * `DescribeTransactionsHandler`, `DescribeProducersHandler`, `AbortTransactionHandler`,
 * `FenceProducersHandler` and `TransactionsCommand`.
 *
 * **Gotchas**
 *
 * `list` leaves out, as brokers do without a word, what the principal may not describe, and what is
 * coordinated by a partition of `__transaction_state` that has no leader. `findHanging` and `abort`
 * need to be sure, and refuse (`NotAuthorized`, `Incomplete`) where they cannot be.
 *
 * `fence` refuses an id that the cluster does not know, where the Java client makes a new one.
 *
 * **Example** (End what hangs in a topic)
 *
 * ```ts
 * import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.gen(function*() {
 *   const admin = yield* TransactionAdmin.TransactionAdmin
 *   for (const hanging of yield* admin.findHanging({ topics: ["orders"] })) {
 *     yield* admin.abort(hanging)
 *   }
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class TransactionAdmin extends Context.Service<TransactionAdmin, {
  readonly list: (
    filter?: ListOptions
  ) => Effect.Effect<ReadonlyArray<TransactionListing>, TransactionAdminError>
  readonly describe: (
    transactionalId: string
  ) => Effect.Effect<TransactionDescription, TransactionAdminError>
  readonly describeProducers: (
    topicPartition: TopicPartition
  ) => Effect.Effect<ReadonlyArray<ProducerState>, TransactionAdminError>
  readonly findHanging: (
    options?: FindOptions
  ) => Effect.Effect<ReadonlyArray<HangingTransaction>, TransactionAdminError>
  readonly abort: (
    transaction: AbortTarget,
    options?: AbortOptions
  ) => Effect.Effect<void, TransactionAdminError>
  readonly fence: (
    transactionalId: string
  ) => Effect.Effect<ProducerIdentity, TransactionAdminError>
}>()("@kafka-once/core/TransactionAdmin") {}

/**
 * Makes the admin. Nothing is connected yet.
 *
 * **Details**
 *
 * *Errors*: `UnsupportedByDriver` over a driver whose client cannot ask any of this (kafkajs);
 * `Misconfigured` for a `timeout` that is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<TransactionAdmin["Service"], TransactionAdminError, KafkaDriver> {
  const { name, transactionAdmin: driver } = yield* KafkaDriver
  if (driver === undefined) {
    const capability = "the requests of KIP-664 (transaction admin)"
    return yield* refused(new UnsupportedByDriver({ driver: name, capability }))
  }
  const limit = yield* durationOf("timeout", options.timeout ?? "15 seconds")
  return TransactionAdmin.of({
    list: Effect.fn("TransactionAdmin.list")(function*(options: ListOptions = {}) {
      const { openLongerThan, ...filter } = options
      const openLongerThanMillis = openLongerThan === undefined
        ? undefined
        : Duration.toMillis(yield* durationOf("openLongerThan", openLongerThan, 0))
      return yield* start(
        "list",
        driver,
        limit,
        (call) => Listing.list(call, { ...filter, openLongerThanMillis })
      )
    }),
    describe: Effect.fn("TransactionAdmin.describe")((transactionalId: string) =>
      start(
        "describe",
        driver,
        limit,
        (call) =>
          ask(call, "DescribeTransactions", aboutId(transactionalId), () =>
            driver.describe(transactionalId))
      )
    ),
    describeProducers: Effect.fn("TransactionAdmin.describeProducers")(
      ({ partition, topic }: TopicPartition) =>
        start(
          "describeProducers",
          driver,
          limit,
          (call) =>
            ask(call, "DescribeProducers", aboutPartition(topic, partition), () =>
              Effect.flatMap(driver.producers([{ topic, partition }]), ([answer]) =>
                Effect.fromResult(answer!)))
        )
    ),
    findHanging: Effect.fn("TransactionAdmin.findHanging")(function*(find: FindOptions = {}) {
      const olderThan = find.olderThan === undefined
        ? null
        : Duration.toMillis(yield* durationOf("olderThan", find.olderThan, 0))
      return yield* start(
        "findHanging",
        driver,
        limit,
        (call) => Hanging.find(call, find.topics ?? null, olderThan)
      )
    }),
    abort: Effect.fn("TransactionAdmin.abort")((target: AbortTarget, how: AbortOptions = {}) =>
      start("abort", driver, limit, (call) => AbortHanging.abort(call, target, how.force === true))
    ),
    fence: Effect.fn("TransactionAdmin.fence")((transactionalId: string) =>
      start("fence", driver, limit, (call) =>
        Effect.gen(function*() {
          const needs = `Write on the transactional id "${transactionalId}"`
          const about = { ...aboutId(transactionalId), needs }
          const { timeoutMillis } = yield* ask(call, "DescribeTransactions", about, () =>
            driver.describe(transactionalId))
          // The timeout is filed with the id, and stays what its producer has made it.
          return yield* ask(call, "InitProducerId", about, () =>
            driver.fence(transactionalId, timeoutMillis))
        }))
    )
  })
})

/**
 * A layer of the admin; see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<TransactionAdmin, TransactionAdminError, KafkaDriver> =>
  Layer.effect(TransactionAdmin, make(options))

/**
 * A layer of the admin whose options come from `Config`; see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<TransactionAdmin, TransactionAdminError | Config.ConfigError, KafkaDriver> =>
  Layer.effect(TransactionAdmin, Effect.flatMap(Config.unwrap(options), make))

const refused = (reason: TransactionAdminError["reason"]) =>
  new TransactionAdminError({ operation: "make", reason })

const durationOf = (
  setting: string,
  value: Duration.Input,
  leastMillis = 1
): Effect.Effect<Duration.Duration, TransactionAdminError> =>
  Result.match(BoundedDuration.check(value, leastMillis), {
    onSuccess: Effect.succeed,
    onFailure: (problem) =>
      Effect.fail(refused(new Misconfigured({ setting, value: String(value), problem })))
  })
