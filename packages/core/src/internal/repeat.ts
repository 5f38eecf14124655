import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DriverError } from "../KafkaDriver.ts"
import { describe, isUnanswered, verdictOf } from "./classify.ts"

/**
 * A request was repeated until its deadline, and was not done.
 */
export class Exhausted extends Data.TaggedError("Exhausted")<{
  readonly request: string
  readonly afterMillis: number
  readonly last: DriverError | null
}> {
  get lastText(): string {
    return this.last === null ? "no answer" : describe(this.last)
  }
}

/**
 * The pause before the nth repetition (n counts from 0) of a request that was refused because the
 * markers of the last transaction are still being written. They take a few milliseconds, and the
 * coordinator's answer costs nothing, so the first repetitions come soon.
 */
const concurrentPauseMillis = (n: number): number => Math.min(1 << Math.min(n, 5), 20)

const pauseMillis = (n: number): number => Math.min(50 * 2 ** Math.min(n, 5), 1_000)

const CONCURRENT_TRANSACTIONS = 51

const isConcurrent = (error: DriverError): boolean =>
  error.failure._tag === "Answered" && error.failure.code === CONCURRENT_TRANSACTIONS

/**
 * Repeats a request while its failures say that it may be repeated, until a deadline.
 *
 * `onUnanswered` is called for every attempt that was left without an answer, the one that the
 * deadline cut off included, of which nobody knows how far it had come (`null`): its session is
 * then no longer good for another transaction.
 */
export const untilDeadline = <A>(options: {
  readonly request: string
  readonly limit: Duration.Duration
  readonly attempt: Effect.Effect<A, DriverError>
  readonly onUnanswered: (error: DriverError | null) => void
  readonly mayRepeat?: (error: DriverError) => boolean
}): Effect.Effect<A, DriverError | Exhausted> =>
  Effect.suspend(() => {
    const mayRepeat = options.mayRepeat ?? isRepeatable
    let last: DriverError | null = null
    let underWay = true
    let concurrent = 0
    let other = 0

    const loop: Effect.Effect<A, DriverError> = Effect.catch(options.attempt, (error) => {
      last = error
      underWay = false
      if (isUnanswered(error)) options.onUnanswered(error)
      if (!mayRepeat(error)) return Effect.fail(error)
      const pause = isConcurrent(error)
        ? concurrentPauseMillis(concurrent++)
        : pauseMillis(other++)
      return Effect.andThen(Effect.sleep(pause), again)
    })
    const again = Effect.suspend(() => {
      underWay = true
      return loop
    })

    return Effect.timeoutOrElse(loop, {
      duration: options.limit,
      orElse: () => {
        if (underWay) options.onUnanswered(null)
        const afterMillis = Duration.toMillis(options.limit)
        return Effect.fail(new Exhausted({ request: options.request, afterMillis, last }))
      }
    })
  })

const isRepeatable = (error: DriverError): boolean => {
  const verdict = verdictOf(error)
  return verdict === "retry" || verdict === "refresh"
}

/**
 * Milliseconds of the monotonic clock, for measuring how long something took.
 */
export const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.sync(() => monotonicMillisOf(clock))
)

/**
 * Milliseconds of the monotonic clock, for measuring how long something took.
 */
export const monotonicMillisOf = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe()) / 1e6
