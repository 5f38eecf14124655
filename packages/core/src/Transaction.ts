/**
 * The current transaction: sending in it, running it again, and asking for its outcome later.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Sink from "effect/Sink"
import type { GroupOffsets } from "./GroupOffsets.ts"
import * as Attempt from "./internal/attempt.ts"
import * as ResolveLater from "./internal/resolveLater.ts"
import { KafkaDriver } from "./KafkaDriver.ts"
import type { CommitOutcomeUnknown, KafkaError } from "./KafkaError.ts"
import type { ProducerRecord } from "./ProducerRecord.ts"
import type { RecordMetadata } from "./RecordMetadata.ts"
import * as Settlement from "./Settlement.ts"
import type { TransactionOutcome } from "./TransactionOutcome.ts"

/**
 * An open transaction, as a service: what needs it says so in its `R`.
 *
 * **When to use**
 *
 * Use the functions of this module, such as {@link send}, in code that must run inside a
 * transaction and need not know which. `TransactionalProducer.withTransaction` provides it; in the
 * scope form `TransactionalProducer.begin` returns it.
 *
 * **Details**
 *
 * *Shape*
 * - `send`: sends records and answers when the broker has acknowledged all of them, with one
 *   `RecordMetadata` for each in the order given. Sends that wait while one is on its way travel
 *   together in the next request.
 * - `sendOffsets`: adds a consumer group's processed offsets. They are merged per group and sent
 *   once, when the transaction commits.
 * - `outcome`: waits for the settlement and tells how the transaction ended.
 *
 * *Errors*: every method fails with `KafkaError`. A send that fails or is interrupted means that
 * the transaction cannot commit any more, also when the body catches the error. A transaction used
 * after its end fails with `TransactionEnded`.
 *
 * @category services
 * @since 0.1.0
 */
export class Transaction extends Context.Service<Transaction, {
  readonly transactionalId: string
  readonly send: (
    records: ReadonlyArray<ProducerRecord>
  ) => Effect.Effect<ReadonlyArray<RecordMetadata>, KafkaError>
  readonly sendOffsets: (offsets: GroupOffsets) => Effect.Effect<void, KafkaError>
  readonly outcome: Effect.Effect<TransactionOutcome>
}>()("@kafka-once/core/Transaction") {}

/**
 * Sends records in the current transaction; see {@link Transaction}.
 *
 * **Example** (Deep code that says that it needs a transaction)
 *
 * ```ts
 * import * as Transaction from "@kafka-once/core/Transaction"
 *
 * export const pay = (order: string) =>
 *   Transaction.send([{ topic: "orders", key: order, value: "paid" }])
 * ```
 *
 * @category operations
 * @since 0.1.0
 */
export const send = (
  records: ReadonlyArray<ProducerRecord>
): Effect.Effect<ReadonlyArray<RecordMetadata>, KafkaError, Transaction> =>
  Transaction.use((transaction) => transaction.send(records))

/**
 * Adds a consumer group's processed offsets to the current transaction; see {@link Transaction}.
 *
 * @category operations
 * @since 0.1.0
 */
export const sendOffsets = (
  offsets: GroupOffsets
): Effect.Effect<void, KafkaError, Transaction> =>
  Transaction.use((transaction) => transaction.sendOffsets(offsets))

/**
 * A sink that sends every record of a stream in the current transaction.
 *
 * **Details**
 *
 * Each chunk of the stream is one `send`, and the next chunk is pulled when the broker has
 * acknowledged it, so that the stream is slowed to what the broker takes.
 *
 * *Errors*: as `send`; the stream is then not pulled any further.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sink: Sink.Sink<void, ProducerRecord, never, KafkaError, Transaction> = Sink
  .forEachArray((records: ReadonlyArray<ProducerRecord>) => send(records))

/**
 * The schedule to run a transaction again by, where nothing else is wanted: exponential from 100 ms
 * with factor 2, jittered, at most 5 s apart, 5 times within 60 s.
 *
 * @category models
 * @since 0.1.0
 */
export const defaultSchedule: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("100 millis", 2),
  Schedule.spaced("5 seconds")
]).pipe(Schedule.jittered, Schedule.upTo({ times: 5, duration: "60 seconds" }))

/**
 * Runs a program with transactions in it again, where that is safe.
 *
 * **When to use**
 *
 * Use it around `Effect.scoped(...)` in the scope form. The bracket form has it as its option
 * `retry`.
 *
 * **Details**
 *
 * The schedule says when, the library says whether: every transaction that the failed run began
 * must be proven to be aborted, and the failure must be a `KafkaError` whose recovery is `retry`,
 * or one that `retryWhile` allows. A run after whose failure the outcome of a transaction is
 * unknown, or in which one has committed, is never repeated.
 *
 * *Errors*: those of the last run, unchanged.
 *
 * **Gotchas**
 *
 * What else the program does, such as a call of another service, is done again too.
 *
 * @category error handling
 * @since 0.1.0
 */
export const retry = <X = unknown>(
  schedule: Schedule.Schedule<unknown> = defaultSchedule,
  options?: { readonly retryWhile?: ((error: X) => boolean) | undefined }
) =>
<A, E extends X, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const parent = fiber.getRef(Attempt.CurrentAttempt)
    const retryWhile = options?.retryWhile ?? (() => false)
    let attempt = Attempt.make(parent)
    const run = Effect.suspend(() => {
      attempt = Attempt.make(parent)
      return Effect.provideService(self, Attempt.CurrentAttempt, attempt)
    })
    return Effect.retry(run, {
      schedule,
      while: (error) => mayRunAgain(attempt, error, retryWhile)
    })
  })

const mayRunAgain = <E>(
  attempt: Attempt.Attempt,
  error: E,
  retryWhile: (error: E) => boolean
): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const outcomes = Attempt.outcomesOf(attempt)
    if (outcomes === null || !Settlement.mayRunAgain(error, outcomes, retryWhile)) return false
    yield* Effect.forEach(attempt.cores, (core) => Metric.update(core.metrics.retries, 1), {
      discard: true
    })
    return true
  })

/**
 * Asks for the outcome of a transaction whose commit was not proven, also in another process or
 * after a restart.
 *
 * **When to use**
 *
 * Use it with the error of a transaction whose recovery is `resolve`, once the cluster can be
 * reached again; keep the error (it is plain data, and `Schema` encodes it) to ask after a restart.
 *
 * **Details**
 *
 * It looks for the end marker of the transaction in the log. Where there is none yet, it opens a
 * session on the transactional id, which ends the transaction, and looks again.
 *
 * *Errors*: `KafkaError` of the operation `resolve` where no session can be opened. An answer of
 * `Unknown` means that no leader could be asked within `resolveTimeout`, that the principal may not
 * read the topics, or that the evidence is gone, for example by retention.
 *
 * **Gotchas**
 *
 * Where there is no evidence yet, as while the transaction is still open, this ends it in the name
 * of the session that left it. A producer that lives on with the transactional id goes on with its
 * next transaction. Where the driver has `epochBump`, whoever has taken the id since is not
 * touched; else a transaction that is open under the id is aborted.
 *
 * @category operations
 * @since 0.1.0
 */
export const resolve = (
  error: KafkaError | CommitOutcomeUnknown
): Effect.Effect<TransactionOutcome, KafkaError, KafkaDriver> =>
  KafkaDriver.use((driver) => ResolveLater.resolve(driver, error))
