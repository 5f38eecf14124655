/**
 * A producer whose transactions are Scopes: begun by entering one, and ended by its exit.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { begin as beginTransaction } from "./internal/beginTransaction.ts"
import * as OpenTransaction from "./internal/openTransaction.ts"
import type { Lanes } from "./internal/producerCore.ts"
import * as ProducerLanes from "./internal/producerLanes.ts"
import * as ProducerLife from "./internal/producerLife.ts"
import { send } from "./internal/sendRecords.ts"
import { settle } from "./internal/settle.ts"
import type { KafkaDriver } from "./KafkaDriver.ts"
import type { KafkaError } from "./KafkaError.ts"
import type { ProducerEvent } from "./ProducerEvent.ts"
import type { ProducerOptions } from "./ProducerOptions.ts"
import * as Transaction from "./Transaction.ts"
import type { State } from "./TransactionState.ts"

/**
 * How a producer is doing, for a readiness probe.
 *
 * **Details**
 *
 * *Shape*: `state` is the state of its one transaction; with lanes, where none is open, that of the
 * first lane that is not `Ready`. `waiting` is how many callers wait for
 * their turn; `unreachableSinceMillis` is when (since 1970) the last broker answered in vain asked
 * for, `None` while brokers answer. `ready` is true while a `begin` would not fail at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducerStatus {
  readonly transactionalId: string
  readonly state: State["_tag"]
  readonly waiting: number
  readonly unreachableSinceMillis: Option.Option<number>
  readonly ready: boolean
}

/**
 * Options of one transaction in the scope form.
 *
 * **Details**
 *
 * *Shape*: `commitWhen` chooses the exits that commit; success alone without it. A transaction in
 * which a send has failed never commits, whatever it says.
 *
 * @category models
 * @since 0.1.0
 */
export interface BeginOptions {
  readonly commitWhen?: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
}

/**
 * Options of one transaction in the bracket form.
 *
 * **Details**
 *
 * *Shape*: `retry` runs the body again in a new transaction, by the rules of `Transaction.retry`;
 * `retryWhile` opens failures of the body's own to it; `commitWhen` chooses the exits that commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithTransactionOptions<A = unknown, E = unknown> {
  readonly retry?: Schedule.Schedule<unknown> | undefined
  readonly retryWhile?: ((error: E | KafkaError) => boolean) | undefined
  readonly commitWhen?: ((exit: Exit.Exit<A, E>) => boolean) | undefined
}

/**
 * The bracket form: runs an effect in a transaction that ends with it.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithTransaction {
  <A0 = unknown, E0 = unknown>(
    options?: WithTransactionOptions<A0, E0>
  ): <A extends A0, E extends E0, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | KafkaError, Exclude<R, Transaction.Transaction>>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: WithTransactionOptions<A, E>
  ): Effect.Effect<A, E | KafkaError, Exclude<R, Transaction.Transaction>>
}

/**
 * A producer whose transactions are Scopes.
 *
 * **When to use**
 *
 * Use {@link layer} for the one producer of a program, and {@link make} for several.
 *
 * **Details**
 *
 * *Shape*
 * - `begin`: the scope form. Begins a transaction that ends with the surrounding `Scope`: success
 *   commits, failure, defect and interruption abort. Its `E` says what the scoped effect can fail
 *   with, the commit included.
 * - `withTransaction`: the bracket form. Runs an effect in a transaction that ends with it, and
 *   provides the transaction to code that asks for it.
 * - `events`: what happens to the producer from now on; a subscriber that lags by more than 256
 *   loses the oldest.
 * - `status`: how it is doing now.
 *
 * *Units and bounds*: one transaction at a time; concurrent callers wait in order, at most
 * `maxWaiting` of them for at most `maxWaitingTime`, then fail with `Busy`. A release takes at most
 * 25 seconds with the default settings.
 *
 * *Errors*: `KafkaError`; see its reasons. `recovery` says what can be done.
 *
 * **Gotchas**
 *
 * Recover from errors outside the scope. An error that is caught inside it counts as success, and
 * commits, unless it is one of this library's own operations in the transaction, which never does.
 *
 * **Example** (The bracket form)
 *
 * ```ts
 * import * as Transaction from "@kafka-once/core/Transaction"
 * import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
 * import * as Effect from "effect/Effect"
 * import * as Schedule from "effect/Schedule"
 *
 * export const program = Effect.gen(function*() {
 *   const producer = yield* TransactionalProducer.TransactionalProducer
 *   yield* Transaction.send([{ topic: "orders", key: "42", value: "paid" }]).pipe(
 *     producer.withTransaction({ retry: Schedule.exponential("100 millis") })
 *   )
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class TransactionalProducer extends Context.Service<TransactionalProducer, {
  readonly transactionalId: string
  readonly begin: (
    options?: BeginOptions
  ) => Effect.Effect<Transaction.Transaction["Service"], KafkaError, Scope.Scope>
  readonly withTransaction: WithTransaction
  readonly events: Stream.Stream<ProducerEvent>
  readonly status: Effect.Effect<ProducerStatus>
}>()("@kafka-once/core/TransactionalProducer") {}

/**
 * Makes a producer in the current scope.
 *
 * **Details**
 *
 * It connects and initialises its transactional id at once, which ends an open transaction that an
 * older instance of it left behind, so that wrong credentials or addresses fail here.
 *
 * *Errors*: `KafkaError` of the operation `initialize`: `Misconfigured` before anything is sent;
 * `AuthenticationFailed`, `NotAuthorized`, `TlsFailed`, `NotKafka` at the first answer;
 * `Unreachable` after `initializeTimeout`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ProducerOptions
): Effect.Effect<TransactionalProducer["Service"], KafkaError, KafkaDriver | Scope.Scope> =>
  Effect.map(ProducerLife.make(options), (lanes) =>
    TransactionalProducer.of({
      transactionalId: lanes.all[0].settings.transactionalId,
      begin: (beginOptions) => begin(lanes, beginOptions ?? {}),
      withTransaction: makeWithTransaction(lanes),
      events: Stream.fromPubSub(lanes.all[0].events),
      status: Effect.sync(() => statusOf(lanes))
    }))

/**
 * A layer of one producer; see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: ProducerOptions
): Layer.Layer<TransactionalProducer, KafkaError, KafkaDriver> =>
  Layer.effect(TransactionalProducer, make(options))

/**
 * A layer of one producer whose options come from `Config`; see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<ProducerOptions>
): Layer.Layer<TransactionalProducer, KafkaError | Config.ConfigError, KafkaDriver> =>
  Layer.effect(TransactionalProducer, Effect.flatMap(Config.unwrap(options), make))

/**
 * The scope form: a transaction as an `acquireRelease` whose release receives the `Exit`.
 */
const begin = (
  lanes: Lanes,
  { commitWhen }: BeginOptions
): Effect.Effect<Transaction.Transaction["Service"], KafkaError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.scope,
      (scope) =>
        Effect.flatMap(refuseNested(lanes), () =>
          Effect.acquireRelease(
            beginTransaction(lanes, restore, { scope, commitWhen }),
            (transaction, exit) => settleAsFinalizer(transaction, exit)
          ))
    )
  ).pipe(Effect.map(toService))

/**
 * Scope finalizers are typed `never`, yet `Effect.scoped` and `Scope.close` re-raise what one fails
 * with at run time. The error that this cast drops is declared in the `E` of `begin`, so that every
 * `Effect.scoped` around it shows `KafkaError`. A test pins the run-time behaviour.
 */
const settleAsFinalizer = (
  transaction: OpenTransaction.OpenTransaction,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  settle(transaction, exit) as Effect.Effect<void>

const makeWithTransaction = (lanes: Lanes): WithTransaction =>
  dual(
    (args) => Effect.isEffect(args[0]),
    <A, E, R>(
      self: Effect.Effect<A, E, R>,
      options: WithTransactionOptions<A, E> = {}
    ): Effect.Effect<A, E | KafkaError, Exclude<R, Transaction.Transaction>> => {
      const once = bracket(lanes, self, options)
      const { retry, retryWhile } = options
      return retry === undefined ? once : Transaction.retry(retry, { retryWhile })(once)
    }
  )

/**
 * The bracket form, over the same settling function; here the compiler sees the commit's error.
 */
const bracket = <A, E, R>(
  lanes: Lanes,
  self: Effect.Effect<A, E, R>,
  options: WithTransactionOptions<A, E>
): Effect.Effect<A, E | KafkaError, Exclude<R, Transaction.Transaction>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.andThen(
      refuseNested(lanes),
      Effect.flatMap(
        // The exits that reach `commitWhen` are those of `self`, and of its time limit.
        beginTransaction(lanes, restore, {
          scope: null,
          commitWhen: options.commitWhen as BeginOptions["commitWhen"]
        }),
        (transaction) =>
          restore(limited(transaction, self)).pipe(
            Effect.provideService(Transaction.Transaction, toService(transaction)),
            Effect.withParentSpan(transaction.span, { captureStackTrace: false }),
            Effect.onExit((exit) => settle(transaction, exit))
          )
      )
    )
  )

/**
 * Interrupts a body that takes longer than it may.
 */
const limited = <A, E, R>(
  transaction: OpenTransaction.OpenTransaction,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | KafkaError, R> =>
  Effect.timeoutOrElse(self, {
    duration: transaction.core.settings.bodyTimeout,
    orElse: () => Effect.fail(OpenTransaction.expired(transaction, "commit"))
  })

/**
 * Fails where the context already has a transaction of the same producer: it would wait for itself.
 */
const refuseNested = (lanes: Lanes): Effect.Effect<void, KafkaError> =>
  Effect.flatMap(Effect.serviceOption(Transaction.Transaction), (current) => {
    const core = ProducerLanes.openIn(lanes)
    const open = core?.current ?? null
    return core !== null && open !== null && !open.ended &&
        Option.isSome(current) && current.value === open.service
      ? Effect.fail(OpenTransaction.nested(core))
      : Effect.void
  })

const toService = (
  transaction: OpenTransaction.OpenTransaction
): Transaction.Transaction["Service"] => {
  const { transactionalId } = transaction.core.settings
  const service = Transaction.Transaction.of({
    transactionalId,
    send: (records) => send(transaction, records),
    sendOffsets: (offsets) => OpenTransaction.sendOffsets(transaction, offsets),
    outcome: Deferred.await(transaction.outcome)
  })
  transaction.service = service
  return service
}

const statusOf = (lanes: Lanes): ProducerStatus => {
  const [first] = lanes.all
  const unreachable = first.reachability.since()
  return {
    transactionalId: first.settings.transactionalId,
    state: ProducerLanes.stateOf(lanes)._tag,
    waiting: lanes.waiting,
    unreachableSinceMillis: Option.map(
      Option.fromNullishOr(unreachable),
      ({ sinceMillis }) => sinceMillis
    ),
    ready: unreachable === null && first.dead === null && !first.closing &&
      lanes.waiting < first.settings.maxWaiting
  }
}

/**
 * The longest that a release takes with these settings: the drain, the longer of commit and abort,
 * the resolution, and at most a second for closing each of two sessions.
 *
 * @category accessors
 * @since 0.1.0
 */
export const releaseLimit = (settings: {
  readonly drainTimeout: Duration.Duration
  readonly commitTimeout: Duration.Duration
  readonly abortTimeout: Duration.Duration
  readonly resolveTimeout: Duration.Duration
}): Duration.Duration =>
  [
    settings.drainTimeout,
    Duration.max(settings.commitTimeout, settings.abortTimeout),
    settings.resolveTimeout
  ].reduce((sum, timeout) => Duration.sum(sum, timeout), Duration.seconds(2))
