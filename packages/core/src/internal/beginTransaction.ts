import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Tracer from "effect/Tracer"
import { Busy, KafkaError, ProducerClosed } from "../KafkaError.ts"
import * as Attempt from "./attempt.ts"
import { CurrentCommitGuard } from "./commitGuard.ts"
import * as OpenTransaction from "./openTransaction.ts"
import { type Lanes, type ProducerCore, transition, unusable } from "./producerCore.ts"
import * as ProducerLanes from "./producerLanes.ts"
import { monotonicMillisOf } from "./repeat.ts"
import { endSpan, noteLane, startTransactionSpan, withStepSpan } from "./telemetry.ts"

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Begins a transaction: waits for its turn, makes sure of a session, and opens.
 *
 * Runs in an uninterruptible region, so that a transaction cannot be lost between its begin and the
 * release that will settle it; `restore` makes the waiting interruptible.
 */
export const begin = (
  lanes: Lanes,
  restore: Restore,
  options: BeginOptions
): Effect.Effect<OpenTransaction.OpenTransaction, KafkaError> =>
  Effect.withFiber((fiber) => {
    const { transactionalId } = lanes.all[0].settings
    const open = ProducerLanes.openIn(lanes)
    if (options.scope !== null && open?.current?.scope === options.scope) {
      return Effect.fail(OpenTransaction.nested(open))
    }
    const clock = fiber.getRef(Clock.Clock)
    return Effect.flatMap(startTransactionSpan(transactionalId), (span) =>
      Effect.onExit(
        withStepSpan("begin", transactionalId, span)(
          beginInTurn(lanes, restore, clock, { ...options, span })
        ),
        (exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Effect.sync(() => endSpan(span, clock, exit))
      ))
  })

interface BeginOptions {
  readonly scope: Scope.Scope | null
  readonly commitWhen: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
}

interface SpannedOptions extends BeginOptions {
  readonly span: Tracer.Span
}

const beginInTurn = (
  lanes: Lanes,
  restore: Restore,
  clock: Clock.Clock,
  options: SpannedOptions
): Effect.Effect<OpenTransaction.OpenTransaction, KafkaError> => {
  const refused = refusal(lanes, clock)
  if (refused !== null) return Effect.fail(refused)
  return Effect.flatMap(takePermit(lanes, restore), (releasePermit) =>
    Effect.onExit(
      Effect.suspend(() => {
        // What waited in the queue may find the producer dead or the cluster gone by now.
        const refused = refusal(lanes, clock)
        if (refused !== null) return Effect.fail(refused)
        const opening = Effect.suspend(() => open(lanes, { ...options, releasePermit }))
        // Without a session: the last release could not open one.
        return ProducerLanes.areLive(lanes)
          ? opening
          : Effect.andThen(restore(ProducerLanes.reopenAll(lanes, "begin")), opening)
      }),
      (exit) => Exit.isSuccess(exit) ? Effect.void : releasePermit
    ))
}

const open = (
  lanes: Lanes,
  options: SpannedOptions & { readonly releasePermit: Effect.Effect<void> }
): Effect.Effect<OpenTransaction.OpenTransaction, KafkaError> =>
  Effect.withFiber((fiber) => {
    const core = ProducerLanes.inTurn(lanes)
    const { live } = core
    if (live === null) return Effect.fail(closed(core))
    transition(core, "Began")
    const clock = fiber.getRef(Clock.Clock)
    const attempt = fiber.getRef(Attempt.CurrentAttempt)
    const guard = fiber.getRef(CurrentCommitGuard)
    const transaction = OpenTransaction.make({ ...options, core, live, clock, attempt, guard })
    core.current = transaction
    Attempt.note(attempt, transaction)
    core.metrics.openTransactions.updateUnsafe(1, fiber.context)
    return lanes.all.length === 1
      ? Effect.succeed(transaction)
      : Effect.as(noteLane(options.span, core.settings.transactionalId), transaction)
  })

const closed = (core: ProducerCore): KafkaError => {
  const { transactionalId } = core.settings
  const reason = new ProducerClosed({ transactionalId })
  return unusable(core, "begin") ?? new KafkaError({ operation: "begin", reason })
}

/**
 * The error of a begin where waiting cannot help, or `null`.
 */
const refusal = ({ all: [first] }: Lanes, clock: Clock.Clock): KafkaError | null =>
  unusable(first, "begin") ?? first.reachability.check("begin", clock)

/**
 * Takes the producer's one permit in the order of asking, and answers with how to give it back.
 */
const takePermit = (
  lanes: Lanes,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, KafkaError> =>
  Effect.suspend(() => {
    const release = Effect.asVoid(Semaphore.release(lanes.permit, 1))
    if (lanes.waiting > 0) return waitForPermit(lanes, restore)
    return Effect.flatMap(
      Semaphore.takeIfAvailable(lanes.permit, 1),
      (taken) => taken ? Effect.succeed(release) : waitForPermit(lanes, restore)
    )
  })

const waitForPermit = (
  lanes: Lanes,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, KafkaError> =>
  Clock.clockWith((clock) => {
    const { maxWaiting, maxWaitingTime } = lanes.all[0].settings
    if (lanes.waiting >= maxWaiting) return Effect.fail(busy(lanes, 0))
    lanes.waiting += 1
    const startedAt = monotonicMillisOf(clock)
    // The permit belongs to this scope from the moment it is taken, so that a deadline or an
    // interruption that strikes in the same moment gives it back.
    const scope = Scope.makeUnsafe()
    return restore(
      Semaphore.takeScoped(lanes.permit, 1).pipe(
        Scope.provide(scope),
        Effect.timeoutOrElse({
          duration: maxWaitingTime,
          orElse: () => Effect.fail(busy(lanes, monotonicMillisOf(clock) - startedAt))
        })
      )
    ).pipe(
      Effect.onExit((exit) => {
        lanes.waiting -= 1
        return Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)
      }),
      Effect.as(Scope.close(scope, Exit.void))
    )
  })

const busy = ({ all, waiting }: Lanes, waitedMillis: number): KafkaError => {
  const { transactionalId } = all[0].settings
  const reason = new Busy({ transactionalId, waiting, waitedMillis })
  return new KafkaError({ operation: "begin", reason })
}
