/**
 * A producer of this library whose calls and answers are recorded.
 *
 * **Example** (A recorded transaction of two records)
 *
 * ```ts
 * import * as HistoryRecorder from "@kafka-once/proof/HistoryRecorder"
 * import * as RecordedProducer from "@kafka-once/proof/RecordedProducer"
 * import * as Effect from "effect/Effect"
 *
 * export const program = Effect.gen(function*() {
 *   const recorder = yield* HistoryRecorder.make({ file: "history-1.jsonl", run: 7, process: 1 })
 *   const producer = yield* RecordedProducer.make(recorder, { transactionalId: "orders-0" }).pipe(
 *     Effect.provide(HistoryRecorder.sessions(recorder))
 *   )
 *   const at = { topic: "orders", partition: 0 }
 *   yield* producer.withTransaction(2, ({ send }) => send([at, at]))
 * })
 * ```
 *
 * @since 0.1.0
 */
import type { GroupOffsets } from "@kafka-once/core/GroupOffsets"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { EventOf } from "./History.ts"
import type { HistoryRecorder } from "./HistoryRecorder.ts"
import * as Recorded from "./RecordedTransaction.ts"

/**
 * A recorded transaction of the library.
 *
 * **Details**
 *
 * *Shape*: `record` is its name in the history; `send` takes records without values. `sendOffsets`
 * takes the first offset of each partition besides, by which overlapping ranges are found.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordedHandle {
  readonly record: Recorded.RecordedTransaction
  readonly send: (
    records: ReadonlyArray<Recorded.Recorded>
  ) => Effect.Effect<ReadonlyArray<Recorded.Placed>, KafkaError>
  readonly sendOffsets: (
    offsets: GroupOffsets,
    from: ReadonlyArray<number>
  ) => Effect.Effect<void, KafkaError>
}

/**
 * A recorded producer.
 *
 * **Details**
 *
 * *Shape*
 * - `withTransaction`: the bracket form; each attempt is a transaction of the history. `count` is
 *   how many records the body sends when it succeeds.
 * - `begin`: the scope form.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordedProducer {
  readonly producer: TransactionalProducer.TransactionalProducer["Service"]
  readonly withTransaction: <A, E, R>(
    count: number,
    body: (transaction: RecordedHandle) => Effect.Effect<A, E, R>,
    options?: TransactionalProducer.WithTransactionOptions<A, E | KafkaError>
  ) => Effect.Effect<A, E | KafkaError, Exclude<R, Transaction.Transaction>>
  readonly begin: (
    count: number,
    options?: TransactionalProducer.BeginOptions
  ) => Effect.Effect<RecordedHandle, KafkaError, Scope.Scope>
}

/**
 * Makes a producer whose calls are recorded, in the current scope.
 *
 * **When to use**
 *
 * Over a driver with `HistoryRecorder.sessions`, so that the history knows each producer id and
 * epoch.
 *
 * **Details**
 *
 * *Errors*: those of `TransactionalProducer.make`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  recorder: HistoryRecorder,
  options: ProducerOptions
): Effect.Effect<RecordedProducer, KafkaError, KafkaDriver | Scope.Scope> =>
  Effect.gen(function*() {
    const { transactionalId: id } = options
    // Registered before the producer, so that it runs when the producer has closed.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() =>
        recorder.tell({
          _tag: "scope.closed",
          scope: "producer",
          id,
          transaction: -1,
          clientId: null,
          leaked: 0
        })
      )
    )
    const producer = yield* TransactionalProducer.make(options)
    yield* Effect.forkScoped(
      Stream.runForEach(producer.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "TransactionLeftOpen") recorder.tell({ _tag: "left.open", id })
        })),
      { startImmediately: true }
    )
    return {
      producer,
      withTransaction: (count, body, transactionOptions = {}) =>
        bracket(recorder, producer, count, body, transactionOptions),
      begin: (count, beginOptions = {}) => scoped(recorder, producer, count, beginOptions)
    }
  })

interface Live {
  readonly handle: RecordedHandle
  readonly transaction: Transaction.Transaction["Service"]
  decision: "commit" | "abort"
}

const open = (
  recorder: HistoryRecorder,
  transaction: Transaction.Transaction["Service"],
  count: number
): Live => {
  const record = Recorded.begin(recorder, transaction.transactionalId, count)
  return {
    transaction,
    decision: "abort",
    handle: {
      record,
      send: (records) =>
        Recorded.send(record, records, (values) =>
          Effect.map(
            transaction.send(records.map(({ partition, topic }, at) => ({
              topic,
              value: values[at] ?? null,
              ...partition === null ? {} : { partition }
            }))),
            (placed) => placed.map((at) => ({ ...at, offset: Number(at.offset) }))
          ), neverSent),
      sendOffsets: (offsets, from) =>
        Recorded.sendOffsets(record, {
          group: offsets.groupId,
          member: offsets.membership.memberId,
          positions: offsets.offsets.map(({ lastProcessed, partition, topic }, at) => ({
            topic,
            partition,
            from: from[at] ?? -1,
            next: Number(lastProcessed) + 1
          }))
        }, transaction.sendOffsets(offsets))
    }
  }
}

/** The reasons that say that nothing was written. */
const neverSent = ({ reason }: KafkaError): boolean =>
  reason._tag === "InvalidRecord" || reason._tag === "UnknownTopic" ||
  reason._tag === "TransactionEnded"

const chosen = (
  commitWhen: ((exit: never) => boolean) | undefined,
  exit: Exit.Exit<unknown, unknown>
) =>
  // The exit is the program's own, for which its predicate is.
  (commitWhen === undefined ? Exit.isSuccess(exit) : commitWhen(exit as never)) ? "commit" : "abort"

/** What an attempt ended with that is followed by another. */
const retried = { _tag: "Retried", recovery: "retry" } as const

const bracket = <A, E, R>(
  recorder: HistoryRecorder,
  producer: TransactionalProducer.TransactionalProducer["Service"],
  count: number,
  body: (transaction: RecordedHandle) => Effect.Effect<A, E, R>,
  options: TransactionalProducer.WithTransactionOptions<A, E | KafkaError>
): Effect.Effect<A, E | KafkaError, Exclude<R, Transaction.Transaction>> =>
  Effect.suspend(() => {
    let live: Live | null = null
    const attempt = Effect.gen(function*() {
      const transaction = yield* Transaction.Transaction
      // The attempt before this one has ended; why it failed, only its schedule was told.
      if (live !== null) yield* tellEnd(live, Exit.fail(retried))
      const current = open(recorder, transaction, count)
      live = current
      return yield* Effect.onExit(body(current.handle), (exit) =>
        Effect.sync(() => {
          current.decision = chosen(options.commitWhen, exit)
          Recorded.ending(current.handle.record, current.decision)
        }))
    })
    return attempt.pipe(
      producer.withTransaction<A, E | KafkaError>(options),
      Effect.onExit((exit) => live === null ? Effect.void : tellEnd(live, exit))
    )
  })

const scoped = (
  recorder: HistoryRecorder,
  producer: TransactionalProducer.TransactionalProducer["Service"],
  count: number,
  options: TransactionalProducer.BeginOptions
): Effect.Effect<RecordedHandle, KafkaError, Scope.Scope> =>
  Effect.gen(function*() {
    let live: Live | null = null
    // Finalizers run in reverse: this one when the transaction has ended, the other one before.
    yield* Effect.addFinalizer((exit) => live === null ? Effect.void : tellEnd(live, exit))
    const transaction = yield* producer.begin(options)
    const current = open(recorder, transaction, count)
    live = current
    yield* Effect.addFinalizer((exit) =>
      Effect.sync(() => {
        current.decision = chosen(options.commitWhen, exit)
        Recorded.ending(current.handle.record, current.decision)
      })
    )
    return current.handle
  })

/** An outcome that is not told is an anomaly of its own (V4), for the checker to find. */
const tellEnd = (
  { decision, handle, transaction }: Live,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  transaction.outcome.pipe(
    Effect.timeoutOption("60 seconds"),
    Effect.map((outcome) => {
      if (outcome._tag === "None") return
      const told: EventOf<"result">["outcome"] = outcome.value._tag
      Recorded.ended(handle.record, decision, told, exit)
    })
  )
