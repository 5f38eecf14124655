/**
 * A pipeline that copies, and whose history is written as it happens: what `process` was given,
 * what it sent, which positions went with it, and what became of it.
 *
 * A transaction of the pipeline may hold records of several partitions, each processed by a call of
 * its own. In the history each call is a transaction: its records and its positions are committed
 * together, or neither.
 *
 * @since 0.1.0
 */
import type { ConsumerEvent } from "@kafka-once/core/ConsumerEvent"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { Batch, ExactlyOnceOptions } from "@kafka-once/core/ExactlyOnceOptions"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import type { TransactionOutcome } from "@kafka-once/core/TransactionOutcome"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { HistoryError } from "./HistoryFile.ts"
import * as HistoryRecorder from "./HistoryRecorder.ts"
import * as Recorded from "./RecordedTransaction.ts"
import * as RecordStamp from "./RecordStamp.ts"

/**
 * One call of `process`: its number in the history, and the partition of the input that it has
 * records of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly number: number
  readonly partition: number
}

type Bytes = Uint8Array | null

type Settings<E> = Omit<
  Partial<ExactlyOnceOptions<Bytes, Bytes, E, never>>,
  "groupId" | "input" | "process"
>

/**
 * Which pipeline, and what happens around its copying.
 *
 * **Details**
 *
 * *Shape*
 * - `process` is its number in the history; each start has one of its own.
 * - `polled` runs before a call sends what it has, `sent` when that is acknowledged; what they fail
 *   with `process` fails with. `told` hears what became of a call, and `heard` the events of the
 *   group.
 * - A record goes to the partition of the output that it has in the input.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = never> {
  readonly file: string
  readonly run: number
  readonly process: number
  readonly groupId: string
  readonly input: string
  readonly output: string
  readonly settings?: Settings<E | KafkaError>
  readonly polled?: (call: Call) => Effect.Effect<unknown, E>
  readonly sent?: (call: Call) => Effect.Effect<unknown, E>
  readonly told?: (call: Call, outcome: TransactionOutcome["_tag"], records: number) => void
  readonly heard?: (event: ConsumerEvent) => void
}

/** How long the last outcomes are waited for when the pipeline has ended. */
const outcomeLimit = "30 seconds"

/**
 * Starts it in the current scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = never>(
  options: Options<E>
): Effect.Effect<
  ExactlyOnce.Running<E | KafkaError>,
  KafkaError | HistoryError,
  KafkaDriver | Scope.Scope
> =>
  Effect.gen(function*() {
    const recorder = yield* HistoryRecorder.make(options)
    const outcomes = new Set<Fiber.Fiber<unknown, unknown>>()
    // Registered before the pipeline, so that it runs when that has ended.
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => Fiber.awaitAll([...outcomes])).pipe(
        Effect.timeoutOption(outcomeLimit),
        Effect.andThen(Effect.suspend(() => Fiber.interruptAll([...outcomes])))
      )
    )
    // Detached, for what is forked in the scope is interrupted before the pipeline has drained.
    const later = (effect: Effect.Effect<void>) =>
      Effect.map(Effect.forkDetach(effect), (fiber) => {
        outcomes.add(fiber)
        fiber.addObserver(() => outcomes.delete(fiber))
      })
    const running = yield* ExactlyOnce.make<Bytes, Bytes, E | KafkaError, Transaction.Transaction>({
      ...options.settings,
      groupId: options.groupId,
      input: Topic.make({ name: options.input }),
      process: (batch) => copy(recorder, options, later, batch)
    }).pipe(Effect.provide(HistoryRecorder.sessions(recorder)))
    yield* Effect.forkScoped(
      Stream.runForEach(running.events, (event) =>
        Effect.sync(() => {
          move(recorder, options, event)
          options.heard?.(event)
        })),
      { startImmediately: true }
    )
    return running
  })

const memberOf = ({ process }: Pick<Options, "process">): string => `member ${process}`

const copy = <E>(
  recorder: HistoryRecorder.HistoryRecorder,
  options: Options<E>,
  later: (effect: Effect.Effect<void>) => Effect.Effect<void>,
  { partition, records, topic }: Batch<Bytes, Bytes>
): Effect.Effect<void, E | KafkaError, Transaction.Transaction> =>
  Effect.gen(function*() {
    const transaction = yield* Transaction.Transaction
    const record = Recorded.begin(recorder, transaction.transactionalId, records.length)
    const call: Call = { number: record.number, partition }
    const offsets = records.map(({ offset }) => Number(offset))
    recorder.tell({
      _tag: "poll",
      member: memberOf(options),
      topic,
      partition,
      group: options.groupId,
      permanent: false,
      committedOnly: true,
      transaction: record.number,
      offsets,
      stamps: records.flatMap(({ value }) => numbersOf(value)),
      lastStableOffset: null,
      leaderEpoch: null
    })
    const ended = tellEnd(recorder, options, record, call, { topic, offsets }, transaction)
    yield* Effect.gen(function*() {
      if (options.polled !== undefined) yield* options.polled(call)
      const outputs = offsets.map((offset) => ({
        topic: options.output,
        partition,
        input: { partition, offset }
      }))
      yield* Recorded.send(record, outputs, (values) =>
        Effect.map(
          transaction.send(values.map((value) => ({ topic: options.output, partition, value }))),
          (placed) => placed.map((at) => ({ ...at, offset: Number(at.offset) }))
        ))
      if (options.sent !== undefined) yield* options.sent(call)
    }).pipe(
      Effect.onExit((exit) => later(ended(Exit.isSuccess(exit) ? "commit" : "abort")))
    )
  })

const numbersOf = (value: Bytes): ReadonlyArray<number> => {
  const stamp = RecordStamp.decode(value)
  // The checker finds a stamp that no history knows.
  return typeof stamp === "string"
    ? [0xffff, 0, 0]
    : [stamp.process, stamp.transaction, stamp.index]
}

/**
 * Writes that a call is about to be ended, with the positions that go with it, and waits for its
 * outcome.
 */
const tellEnd = <E>(
  recorder: HistoryRecorder.HistoryRecorder,
  options: Options<E>,
  record: Recorded.RecordedTransaction,
  call: Call,
  { offsets, topic }: { readonly topic: string; readonly offsets: ReadonlyArray<number> },
  transaction: Transaction.Transaction["Service"]
) =>
(decision: "commit" | "abort"): Effect.Effect<void> => {
  const { number: of } = record
  const operation = record.next.operation++
  recorder.tell({
    _tag: "offs.inv",
    transaction: of,
    operation,
    group: options.groupId,
    member: memberOf(options),
    positions: [{
      topic,
      partition: call.partition,
      from: offsets[0]!,
      next: offsets.at(-1)! + 1
    }]
  })
  Recorded.ending(record, decision)
  return Effect.map(transaction.outcome, ({ _tag }) => {
    const committed = _tag === "Committed"
    recorder.tell(
      committed
        ? { _tag: "offs.ok", transaction: of, operation }
        : { _tag: "offs.info", transaction: of, operation, error: _tag }
    )
    Recorded.ended(record, decision, _tag, committed ? Exit.void : Exit.fail(_tag))
    options.told?.(call, _tag, offsets.length)
  })
}

const move = <E>(
  recorder: HistoryRecorder.HistoryRecorder,
  options: Options<E>,
  event: ConsumerEvent
): void => {
  const member = memberOf(options)
  switch (event._tag) {
    case "Assigned":
      return recorder.tell({ _tag: "assign", member, places: event.partitions })
    case "Revoked":
      return recorder.tell({ _tag: "revoke", member, places: event.partitions })
    case "Lost":
      return recorder.tell({ _tag: "lost", member, places: event.partitions })
    case "Positioned":
      return recorder.tell({
        _tag: "seek",
        member,
        ...event.topicPartition,
        offset: Number(event.position ?? 0n),
        rewind: false
      })
  }
}
