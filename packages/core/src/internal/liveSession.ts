import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { DriverError, KafkaDriver, ProducerIdentity, Resumption } from "../KafkaDriver.ts"
import { KafkaError, TimedOut, Unreachable } from "../KafkaError.ts"
import { ProducerEvent } from "../ProducerEvent.ts"
import type { Settings } from "../ProducerOptions.ts"
import { isUnanswered, reasonOf, verdictOf } from "./classify.ts"
import { fence, type LiveSession, type ProducerCore, publish, transition } from "./producerCore.ts"
import { Exhausted, monotonicMillisOf, untilDeadline } from "./repeat.ts"

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export interface Opening {
  readonly driver: KafkaDriver["Service"]
  readonly settings: Settings
  readonly limit: Duration.Duration
  /** What the session before has left; `null` takes the transactional id from whoever has it. */
  readonly resume: Resumption | null
  readonly onUnanswered: () => void
}

/**
 * Opens a session on a transactional id and initialises it, within a limit. From its success on no
 * older session of the id can do anything, and an open transaction of one is ended.
 *
 * Runs in an uninterruptible region, so that the session cannot be lost between its success and the
 * caller; `restore` makes the waiting interruptible again. A session that opens in the moment in
 * which the deadline or an interruption strikes has nobody to take it, and is closed here.
 */
export const open = (
  opening: Opening,
  restore: Restore
): Effect.Effect<LiveSession, DriverError | Exhausted> =>
  Effect.suspend(() => {
    const { limit } = opening
    const opened: Array<LiveSession> = []
    // The last failure inside the attempt that the deadline cuts off: a coordinator that goes on
    // answering "not yet" is not a cluster that does not answer.
    let last: DriverError | null = null
    const noteFailure = (error: DriverError) =>
      Effect.sync(() => {
        last = error
      })
    return restore(untilDeadline({
      request: "InitProducerId",
      limit,
      attempt: Effect.tapError(
        connectAndInitialize({ ...opening, opened, noteFailure }),
        noteFailure
      ),
      // The attempt's own session is closed with it, so that nothing of it is used later.
      onUnanswered: () => {}
    })).pipe(
      Effect.catchTag("Exhausted", ({ request, afterMillis }) =>
        Effect.fail(new Exhausted({ request, afterMillis, last }))),
      Effect.onExit((exit) =>
        Effect.forEach(
          opened.filter((live) =>
            Exit.isFailure(exit) || exit.value !== live
          ),
          (live) => closeScope(live.scope),
          { discard: true }
        )
      )
    )
  })

interface Attempted extends Opening {
  readonly opened: Array<LiveSession>
  readonly noteFailure: (error: DriverError) => Effect.Effect<void>
}

const connectAndInitialize = (
  { driver, settings, limit, opened, noteFailure, onUnanswered, resume }: Attempted
): Effect.Effect<LiveSession, DriverError> =>
  Effect.uninterruptibleMask((restore) => {
    const scope = Scope.makeUnsafe()
    return driver.openSession({
      transactionalId: settings.transactionalId,
      transactionTimeoutMillis: Duration.toMillis(settings.transactionTimeout),
      requestTimeoutMillis: Duration.toMillis(settings.requestTimeout),
      ...resume === null ? {} : { resume }
    }).pipe(
      Effect.flatMap((session) =>
        Effect.map(
          initialize(
            session.initialize.pipe(
              Effect.tapError(noteFailure),
              Effect.onExit((exit) =>
                Effect.sync(() => {
                  if (isLeftUnanswered(exit)) onUnanswered()
                })
              )
            ),
            limit
          ),
          (identity) => ({ session, identity, scope })
        )
      ),
      Scope.provide(scope),
      restore,
      Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : closeScope(scope)),
      Effect.tap((live) =>
        Effect.sync(() => {
          opened.push(live)
        })
      )
    )
  })

const isLeftUnanswered = (exit: Exit.Exit<unknown, DriverError>): boolean => {
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  return error === null ? Exit.isFailure(exit) : isUnanswered(error)
}

// A client that hangs while it closes its sockets must not hold up a release: what counts is the
// fence. It goes on closing in the background.
const closeLimit = Duration.seconds(1)

/**
 * Closes what belongs to a session, and waits for it, but not for ever.
 */
export const closeScope = (
  scope: Scope.Closeable,
  limit: Duration.Duration = closeLimit
): Effect.Effect<void> =>
  Scope.close(scope, Exit.void).pipe(
    Effect.catchDefect((defect) => Effect.logWarning("kafka-once: closing a session died", defect)),
    Effect.forkDetach({ startImmediately: true }),
    Effect.flatMap((fiber) => Effect.timeoutOption(Fiber.await(fiber), limit)),
    Effect.asVoid
  )

/**
 * InitProducerId, repeated on the same session while the coordinator answers that it is not ready:
 * the markers of an older transaction are being written. Without an answer the session is useless,
 * because a late answer would give it an epoch that is no longer the newest.
 */
const initialize = (
  attempt: Effect.Effect<ProducerIdentity, DriverError>,
  limit: Duration.Duration
) =>
  untilDeadline({
    request: "InitProducerId",
    limit,
    attempt,
    onUnanswered: () => {},
    mayRepeat: (error) =>
      error.failure._tag === "Answered" &&
      (verdictOf(error) === "retry" || verdictOf(error) === "refresh")
  }).pipe(
    // The limit of `open` is the same and began earlier: it interrupts before this one is reached.
    Effect.catchTag("Exhausted", (exhausted) =>
      exhausted.last === null ? Effect.never : Effect.fail(exhausted.last))
  )

/**
 * Why a session could not be opened.
 */
export const openFailure = (
  settings: Settings,
  operation: KafkaError["operation"],
  error: DriverError | Exhausted,
  resume: Resumption | null
): KafkaError => {
  if (error._tag === "DriverError") {
    const reason = reasonOf(error, {
      ...resume === null ? {} : { producerId: resume.producerId, epoch: resume.epoch },
      transactionalId: settings.transactionalId,
      transactionTimeoutMillis: Duration.toMillis(settings.transactionTimeout)
    })
    return new KafkaError({ operation, reason })
  }
  const { afterMillis, lastText: last, request } = error
  return new KafkaError({
    operation,
    reason: isSilence(error)
      ? new Unreachable({ sinceMillis: afterMillis, last })
      : new TimedOut({ request, afterMillis, last })
  })
}

/**
 * Whether nothing answered at all, as opposed to a coordinator that answered "not yet".
 */
const isSilence = (exhausted: Exhausted): boolean =>
  exhausted.last === null || exhausted.last.failure._tag !== "Answered"

/**
 * Notes that no broker answers, where a request outside of any session found it: from then on
 * callers fail at once, in place of each paying its deadline.
 */
export const noteSilence = (
  core: ProducerCore,
  error: DriverError | Exhausted
): Effect.Effect<void> =>
  error._tag === "Exhausted" && isSilence(error)
    ? core.reachability.lost(error.lastText)
    : Effect.void

// How long an InitProducerId without an answer is thought to be able to arrive late.
const ownFenceMillis = 60_000

/**
 * Opens the producer's next session, and notes whether a broker answers at all.
 *
 * Where the driver can ask, and another instance has taken the transactional id since, the producer
 * is dead: taking it back would only fence the one that works.
 */
export const reopen = (
  core: ProducerCore,
  operation: KafkaError["operation"],
  limit: Duration.Duration
): Effect.Effect<void, KafkaError> =>
  Effect.uninterruptibleMask((restore) =>
    Clock.clockWith((clock) => {
      const { driver, settings } = core
      const resume = core.takesOver ? null : core.resumption
      const startedAt = monotonicMillisOf(clock)
      const onUnanswered = () => {
        const untilMillis = monotonicMillisOf(clock) + ownFenceMillis
        // One that takes the id over may still be on its way when another gets no answer, either.
        const takesOver = resume === null || tookOver(core, clock)
        core.ownFence = { untilMillis, takesOver }
      }
      return open({ driver, settings, limit, resume, onUnanswered }, restore).pipe(
        Effect.flatMap((live) => install(core, live)),
        Effect.catch((error) => {
          const failure = openFailure(settings, operation, error, resume)
          if (
            failure.reason._tag === "ProducerFenced" && resume !== null && tookOver(core, clock)
          ) {
            core.ownFence = null
            core.takesOver = true
            const passed = Duration.millis(monotonicMillisOf(clock) - startedAt)
            return restore(reopen(core, operation, Duration.subtract(limit, passed)))
          }
          return Effect.andThen(noteOpenFailure(core, failure, resume), Effect.fail(failure))
        })
      )
    })
  )

/**
 * Whether an InitProducerId of the producer's own, which took the id from whoever had it, may have
 * arrived since its answer was given up.
 */
const tookOver = ({ ownFence }: ProducerCore, clock: Clock.Clock): boolean =>
  ownFence !== null && ownFence.takesOver && monotonicMillisOf(clock) < ownFence.untilMillis

const noteOpenFailure = (
  core: ProducerCore,
  { reason }: KafkaError,
  resume: Resumption | null
): Effect.Effect<void> => {
  if (reason._tag === "Unreachable") return core.reachability.lost(reason.last)
  // Who takes the id over is refused only by another one that does, in the same moment.
  if (reason._tag !== "ProducerFenced" || resume === null) return Effect.void
  fence(core, new KafkaError({ operation: "begin", reason }))
  return publishFence(core)
}

/**
 * Closes the lanes that a fence has left without use, and tells of the fence.
 */
export const publishFence = (core: ProducerCore): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { dead, lanes, settings: { transactionalId } } = core
    return dead === null ? Effect.void : Effect.andThen(
      Effect.forEach(
        lanes.all,
        (lane) => retire(lane, "another lane of the producer was fenced"),
        { concurrency: "unbounded", discard: true }
      ),
      publish(core, ProducerEvent.Fenced({ transactionalId, error: dead }))
    )
  })

const install = (core: ProducerCore, live: LiveSession): Effect.Effect<void> =>
  Effect.suspend(() => {
    // The producer was closed while its session was being opened.
    if (core.state._tag === "Closed") return closeScope(live.scope)
    core.live = live
    core.takesOver = false
    transition(core, "Initialised")
    const { transactionalId } = core.settings
    const { identity } = live
    return core.reachability.found.pipe(
      Effect.andThen(Metric.update(core.metrics.sessionsOpened, 1)),
      Effect.andThen(publish(core, ProducerEvent.SessionOpened({ transactionalId, identity })))
    )
  })

/**
 * Closes the producer's session: its sockets are gone when this returns, or, where a driver takes
 * longer than it may, soon after.
 */
export const retire = (core: ProducerCore, why: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const live = core.live
    if (live === null) return Effect.void
    core.live = null
    core.resumption = live.session.resumption?.() ?? null
    const { transactionalId } = core.settings
    const { identity } = live
    return closeScope(live.scope).pipe(
      Effect.andThen(Metric.update(core.metrics.sessionsRetired, 1)),
      Effect.andThen(
        publish(core, ProducerEvent.SessionRetired({ transactionalId, identity, why }))
      )
    )
  })
