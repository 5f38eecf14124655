import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Busy, KafkaError, ProducerClosed } from "../KafkaError.ts"
import * as Attempt from "./attempt.ts"
import { CurrentCommitGuard } from "./commitGuard.ts"
import { reopen } from "./liveSession.ts"
import * as OpenTransaction from "./openTransaction.ts"
import { type ProducerCore, transition, unusable } from "./producerCore.ts"
import { monotonicMillisOf } from "./repeat.ts"
import { startTransactionSpan, withStepSpan } from "./telemetry.ts"

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Begins a transaction: waits for its turn, makes sure of a session, and opens.
 *
 * Runs in an uninterruptible region, so that a transaction cannot be lost between its begin and the
 * release that will settle it; `restore` makes the waiting interruptible.
 */
export const begin = (
  core: ProducerCore,
  restore: Restore,
  options: {
    readonly scope: Scope.Scope | null
    readonly commitWhen: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
  }
): Effect.Effect<OpenTransaction.OpenTransaction, KafkaError> =>
  Effect.suspend(() => {
    const { transactionalId } = core.settings
    if (options.scope !== null && core.current?.scope === options.scope) {
      return Effect.fail(OpenTransaction.nested(core))
    }
    return Effect.flatMap(startTransactionSpan(transactionalId), (span) =>
      beginInTurn(core, restore, options, span).pipe(
        withStepSpan("begin", transactionalId, span),
        Effect.onExit((exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Clock.clockWith((clock) =>
              Effect.sync(() =>
                span.end(clock.currentTimeNanosUnsafe(), exit)
              )
            )
        )
      ))
  })

const beginInTurn = (
  core: ProducerCore,
  restore: Restore,
  options: {
    readonly scope: Scope.Scope | null
    readonly commitWhen: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
  },
  span: OpenTransaction.OpenTransaction["span"]
): Effect.Effect<OpenTransaction.OpenTransaction, KafkaError> =>
  Effect.flatMap(
    Effect.andThen(check(core), takePermit(core, restore)),
    (releasePermit) =>
      Effect.onExit(
        Effect.andThen(
          ensureSession(core, restore),
          open(core, { ...options, span, releasePermit })
        ),
        (exit) => Exit.isSuccess(exit) ? Effect.void : releasePermit
      )
  )

const open = (
  core: ProducerCore,
  options: {
    readonly scope: Scope.Scope | null
    readonly commitWhen: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
    readonly span: OpenTransaction.OpenTransaction["span"]
    readonly releasePermit: Effect.Effect<void>
  }
): Effect.Effect<OpenTransaction.OpenTransaction, KafkaError> =>
  Effect.withFiber((fiber) => {
    const { live } = core
    if (live === null) return Effect.fail(closed(core))
    transition(core, "Began")
    const clock = fiber.getRef(Clock.Clock)
    const attempt = fiber.getRef(Attempt.CurrentAttempt)
    const guard = fiber.getRef(CurrentCommitGuard)
    const transaction = OpenTransaction.make({ ...options, core, live, clock, attempt, guard })
    core.current = transaction
    Attempt.note(attempt, transaction)
    return Effect.as(Metric.update(core.metrics.openTransactions, 1), transaction)
  })

const closed = (core: ProducerCore): KafkaError => {
  const { transactionalId } = core.settings
  const reason = new ProducerClosed({ transactionalId })
  return unusable(core, "begin") ?? new KafkaError({ operation: "begin", reason })
}

/**
 * Fails at once where waiting cannot help.
 */
const check = (core: ProducerCore): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    const dead = unusable(core, "begin")
    return dead === null ? core.reachability.check("begin") : Effect.fail(dead)
  })

/**
 * Takes the producer's one permit in the order of asking, and answers with how to give it back.
 */
const takePermit = (
  core: ProducerCore,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, KafkaError> =>
  Effect.suspend(() => {
    const release = Effect.asVoid(Semaphore.release(core.permit, 1))
    if (core.waiting > 0) return waitForPermit(core, restore)
    return Effect.flatMap(
      Semaphore.takeIfAvailable(core.permit, 1),
      (taken) => taken ? Effect.succeed(release) : waitForPermit(core, restore)
    )
  })

const waitForPermit = (
  core: ProducerCore,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, KafkaError> =>
  Clock.clockWith((clock) => {
    const { maxWaiting, maxWaitingTime } = core.settings
    if (core.waiting >= maxWaiting) return Effect.fail(busy(core, 0))
    core.waiting += 1
    const startedAt = monotonicMillisOf(clock)
    // The permit belongs to this scope from the moment it is taken, so that a deadline or an
    // interruption that strikes in the same moment gives it back.
    const scope = Scope.makeUnsafe()
    return restore(
      Semaphore.takeScoped(core.permit, 1).pipe(
        Scope.provide(scope),
        Effect.timeoutOrElse({
          duration: maxWaitingTime,
          orElse: () => Effect.fail(busy(core, monotonicMillisOf(clock) - startedAt))
        })
      )
    ).pipe(
      Effect.onExit((exit) => {
        core.waiting -= 1
        return Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)
      }),
      Effect.as(Scope.close(scope, Exit.void))
    )
  })

const busy = (core: ProducerCore, waitedMillis: number): KafkaError => {
  const { transactionalId } = core.settings
  const reason = new Busy({ transactionalId, waiting: core.waiting, waitedMillis })
  return new KafkaError({ operation: "begin", reason })
}

/**
 * Opens a session where the last release could not.
 */
const ensureSession = (core: ProducerCore, restore: Restore): Effect.Effect<void, KafkaError> =>
  Effect.andThen(
    // What waited in the queue may find the producer dead or the cluster gone by now.
    check(core),
    Effect.suspend(() =>
      core.live === null
        ? restore(reopen(core, "begin", core.settings.initializeTimeout))
        : Effect.void
    )
  )
