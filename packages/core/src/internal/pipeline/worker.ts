import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Settings } from "../../ExactlyOnceOptions.ts"
import { isKafkaError, type KafkaError } from "../../KafkaError.ts"
import type { Transaction } from "../../Transaction.ts"
import type { TransactionalProducer } from "../../TransactionalProducer.ts"
import { noteReachable, noteUnreachable, pauseMillis } from "../consumer/member.ts"
import { toCommitted, whileOwned } from "../consumer/positions.ts"
import { gather, type Source, wake } from "./gather.ts"
import type { PipelineMetrics } from "./pipelineMetrics.ts"
import type { PartFailed } from "./processPart.ts"
import * as Retries from "./retries.ts"
import * as Suspicion from "./suspicion.ts"
import { transact } from "./transact.ts"
import { type Part, startFeeder, stopFeeder, type WorkLane } from "./workLane.ts"

/**
 * Transactions one after another, over the lanes that it is given.
 */
export interface Worker<K, V, E, R> extends Source {
  readonly settings: Settings<K, V, E, R>
  readonly metrics: PipelineMetrics
  readonly producer: TransactionalProducer["Service"]
  /** What is open now. */
  current:
    | { readonly parts: ReadonlyArray<Part>; readonly fiber: Fiber.Fiber<unknown, unknown> }
    | null
  /** Failures of the cluster's in a row. */
  failures: number
  /** A feeder's failure, which ends the pipeline. */
  broken: KafkaError | null
  /** It ends when its last lane has left. */
  isClosing: boolean
}

/**
 * Makes a worker without lanes.
 */
export const make = <K, V, E, R>(options: {
  readonly settings: Settings<K, V, E, R>
  readonly metrics: PipelineMetrics
  readonly producer: TransactionalProducer["Service"]
  readonly bounds: Source["bounds"]
  readonly isClosing: boolean
}): Worker<K, V, E, R> => ({
  ...options,
  lanes: new Map(),
  wake: Deferred.makeUnsafe(),
  turn: 0,
  current: null,
  failures: 0,
  broken: null
})

/**
 * Gives a lane to a worker, which reads it from the committed position on.
 */
export const add = <K, V, E, R>(worker: Worker<K, V, E, R>, work: WorkLane): void => {
  worker.lanes.set(work.lane.key, work)
  wake(worker)
}

/**
 * Takes a lane from a worker that must not be waited for: what is open in it is aborted.
 */
export const evict = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  work: WorkLane
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { current } = worker
    if (current !== null && current.parts.some((part) => part.work === work)) {
      yield* Fiber.interrupt(current.fiber)
    }
    yield* leave(worker, work)
    wake(worker)
  })

const leave = <K, V, E, R>(worker: Worker<K, V, E, R>, work: WorkLane): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (worker.lanes.get(work.lane.key) === work) worker.lanes.delete(work.lane.key)
    return Effect.andThen(stopFeeder(work), Deferred.succeed(work.left, undefined))
  })

type Failure<E> = PartFailed<E> | KafkaError

/**
 * Runs a worker: places lanes, gathers, transacts, until it is closing and its last lane has left.
 */
export const run = <K, V, E, R>(
  worker: Worker<K, V, E, R>
): Effect.Effect<void, E | KafkaError, Exclude<R, Transaction>> =>
  Effect.gen(function*() {
    for (;;) {
      // Between two transactions nothing is open in any lane, so that one may leave.
      for (const work of stopped(worker)) yield* leave(worker, work)
      if (worker.broken !== null) return yield* Effect.fail(worker.broken)
      if (worker.isClosing && worker.lanes.size === 0) return
      const unplaced = [...worker.lanes.values()].filter(({ isUnplaced }) => isUnplaced)
      if (unplaced.length > 0) {
        yield* place(worker, unplaced)
        continue
      }
      const parts = yield* gather(worker, () => hasMoreUrgent(worker))
      // What was lost while the rest was gathered, or is being taken away, is dropped.
      const owned = parts.filter(({ work }) => work.lane.state === "owned")
      if (owned.length > 0) yield* runOnce(worker, owned)
      for (const { work } of parts) {
        if (work.lane.state !== "owned") work.isUnplaced = true
      }
    }
  })

const stopped = <K, V, E, R>(worker: Worker<K, V, E, R>): ReadonlyArray<WorkLane> =>
  [...worker.lanes.values()].filter(({ lane }) => lane.state !== "owned")

const hasMoreUrgent = <K, V, E, R>(worker: Worker<K, V, E, R>): boolean =>
  worker.broken !== null || (worker.isClosing && worker.lanes.size === 0) ||
  [...worker.lanes.values()].some(({ isUnplaced, lane }) => isUnplaced || lane.state !== "owned")

/**
 * Reads lanes from the committed positions on, when no transaction of this producer can move these
 * any more: an empty transaction opens a session where the last one was not clean, and that ends
 * what was left open (I5).
 */
const place = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  lanes: ReadonlyArray<WorkLane>
): Effect.Effect<void, E | KafkaError> =>
  Effect.gen(function*() {
    yield* Effect.forEach(lanes, stopFeeder, { discard: true })
    const begun = yield* Effect.exit(Effect.scoped(worker.producer.begin()))
    if (Exit.isFailure(begun)) {
      const error = Option.getOrNull(Exit.findErrorOption(begun))
      return isKafkaError(error) ? yield* passOrFail(worker, lanes, error) : yield* begun
    }
    yield* Effect.forEach(lanes, (work) => placeOne(worker, work), {
      concurrency: 8,
      discard: true
    })
  })

const placeOne = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  work: WorkLane
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    if (!(yield* whileOwned(work.lane, toCommitted(work.member, work.lane)))) return
    work.isUnplaced = false
    yield* startFeeder(work, () => wake(worker), (error) => {
      worker.broken ??= error
      wake(worker)
    })
  })

const runOnce = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  parts: ReadonlyArray<Part>
): Effect.Effect<void, E | KafkaError, Exclude<R, Transaction>> =>
  Effect.gen(function*() {
    const { metrics, producer, settings } = worker
    const exit = yield* inOwnFiber(worker, parts, transact(settings, metrics, producer, parts))
    if (Exit.isSuccess(exit)) return yield* succeeded(worker, parts)
    for (const { work } of parts) {
      work.isUnplaced = true
      yield* stopFeeder(work)
    }
    yield* Metric.update(metrics.failures, 1)
    const { cause } = exit
    // A defect of the program stays one. An interruption is a lane's that was lost.
    if (Cause.hasDies(cause)) {
      return yield* Effect.failCause(cause as Cause.Cause<never>)
    }
    const failure = Option.getOrNull(Cause.findErrorOption(cause))
    if (failure === null) return
    yield* failed(worker, parts, failure)
  })

/**
 * Runs a transaction so that it can be interrupted by itself, when a lane of it is lost, and so
 * that the worker does not end before it.
 */
const inOwnFiber = <K, V, E, R, A, X, Y>(
  worker: Worker<K, V, E, R>,
  parts: ReadonlyArray<Part>,
  effect: Effect.Effect<A, X, Y>
): Effect.Effect<Exit.Exit<A, X>, never, Y> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.interruptible(effect), {
        startImmediately: true
      })
      worker.current = { parts, fiber }
      const exit = yield* Effect.onInterrupt(
        restore(Fiber.await(fiber)),
        () => Fiber.interrupt(fiber)
      )
      worker.current = null
      return exit
    })
  )

const succeeded = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  parts: ReadonlyArray<Part>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    worker.failures = 0
    for (const { next, records, work } of parts) {
      work.lane.committed = next
      work.suspicion = Suspicion.committed(work.suspicion, records.length)
      if (work.suspicion._tag === "Trusted") work.retryStep = null
      work.stubborn = 0
      yield* Metric.update(worker.metrics.committedRecords, records.length)
      yield* work.lane.session.settled(work.lane, next)
    }
    yield* noteReachable(parts[0]!.work.member)
  })

const failed = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  parts: ReadonlyArray<Part>,
  failure: Failure<E>
): Effect.Effect<void, E | KafkaError> =>
  Effect.suspend(() => {
    const passing = parts.find((part) => part.passing !== null)?.passing ?? null
    const works = parts.map(({ work }) => work)
    if (isKafkaError(failure)) {
      return isAboutRecords(failure)
        ? suspect(worker, parts, failure)
        : passOrFail(worker, works, failure)
    }
    const { error, part } = failure
    // What the program made of a failure of the cluster's is no fault of its records.
    if (passing !== null) return passOrFail(worker, works, passing)
    return isKafkaError(error) && !isAboutRecords(error)
      ? passOrFail(worker, works, error)
      : suspect(worker, [part], error)
  })

const aboutRecords: ReadonlySet<string> = new Set([
  "InvalidRecord",
  "RecordRejected",
  "TransactionTainted",
  "TransactionEnded",
  "NestedTransaction"
])

/**
 * Whether a failure is of the kind that other records, or a smaller batch, may not have.
 */
const isAboutRecords = ({ reason, recovery }: KafkaError): boolean =>
  recovery === "abort" && aboutRecords.has(reason._tag)

// What waiting does not cure, after so many times from one position: a `process` that never ends,
// or never within a transaction's time; an answer of the broker's that nobody expects.
const maxInARow: ReadonlyMap<string, number> = new Map([
  ["TransactionTimedOut", 3],
  ["BrokerRefused", 10]
])

/**
 * Waits where trying again later is all there is to do, and fails where that never helps. How long
 * it waits is no bound of the pipeline's: it goes on when the cluster does.
 */
const passOrFail = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  lanes: ReadonlyArray<WorkLane>,
  error: KafkaError
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const { reason, recovery } = error
    const limit = maxInARow.get(reason._tag)
    if (limit !== undefined) {
      for (const work of lanes) work.stubborn += 1
      if (lanes.some(({ stubborn }) => stubborn >= limit)) return yield* Effect.fail(error)
    }
    const isPassing = recovery === "retry" || recovery === "resolve" || limit !== undefined ||
      reason._tag === "ConsumerFenced"
    if (!isPassing) return yield* Effect.fail(error)
    const { member } = lanes[0]!
    if (reason._tag === "Unreachable") yield* noteUnreachable(member, reason.last)
    worker.failures += 1
    yield* Effect.timeoutOption(
      reason._tag === "Unreachable"
        ? Effect.raceFirst(awaitStopped(worker), awaitReachable(worker))
        : awaitStopped(worker),
      pauseMillis(worker.failures)
    )
  })

/**
 * Waits until a broker answers the producer again. Until then each of its transactions fails at
 * once.
 */
const awaitReachable = <K, V, E, R>({ producer }: Worker<K, V, E, R>): Effect.Effect<void> =>
  Effect.asVoid(
    Stream.runHead(Stream.filter(producer.events, ({ _tag }) => _tag === "Reachable"))
  )

/**
 * Waits until a lane is taken away: it does not wait for the rest of a pause.
 */
const awaitStopped = <K, V, E, R>(worker: Worker<K, V, E, R>): Effect.Effect<void> =>
  Effect.suspend(() =>
    worker.broken !== null || stopped(worker).length > 0
      ? Effect.void
      : Effect.andThen(Deferred.await(worker.wake), awaitStopped(worker))
  )

/**
 * Holds a failure against the records of parts: they are tried again by the schedule, then in
 * halves, until the one is found that keeps failing. Without a dead-letter topic the pipeline fails
 * with what `process` failed with.
 */
const suspect = <K, V, E, R>(
  { settings }: Worker<K, V, E, R>,
  parts: ReadonlyArray<Part>,
  error: E | KafkaError
): Effect.Effect<void, E | KafkaError> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    for (const { records, work } of parts) {
      const delayMillis = work.suspicion._tag === "Searching"
        ? null
        : yield* nextRetry(settings, work, error)
      if (delayMillis === null && settings.deadLetterTopic === null) {
        return yield* Effect.fail(error)
      }
      const batch = { offset: records[0]!.offset, records: records.length, error }
      work.suspicion = Suspicion.failed(work.suspicion, batch, delayMillis !== null)
      work.dueAtMillis = now + (delayMillis ?? 0)
    }
  })

const nextRetry = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  work: WorkLane,
  error: E | KafkaError
): Effect.Effect<number | null> =>
  Effect.gen(function*() {
    work.retryStep ??= yield* Retries.start(settings.retry)
    return yield* work.retryStep(error)
  })

/**
 * Passes on to a worker that something has changed in a lane.
 */
export const tellOfChanges = <K, V, E, R>(
  worker: Worker<K, V, E, R>,
  { lane }: WorkLane
): Effect.Effect<never> =>
  Effect.forever(
    Effect.flatMap(
      Effect.suspend(() => Deferred.await(lane.wake)),
      () => Effect.sync(() => wake(worker))
    )
  )
