import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"

/**
 * A schedule that is under way: answers how many milliseconds to wait before the next retry, or
 * `null` when there is none.
 */
export type RetryStep = (error: unknown) => Effect.Effect<number | null>

/**
 * Starts a schedule.
 */
export const start = (schedule: Schedule.Schedule<unknown, unknown>): Effect.Effect<RetryStep> =>
  Effect.map(Schedule.toStep(schedule), (step) => (error: unknown) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const next = yield* Effect.exit(step(now, error))
      if (Exit.isSuccess(next)) return Duration.toMillis(next.value[1])
      // A schedule that dies is a defect of the program; one that is done has no more retries.
      return Cause.hasDies(next.cause)
        ? yield* Effect.failCause(next.cause as Cause.Cause<never>)
        : null
    }))
