/**
 * Asking many: in rounds, until all have answered or the time is over.
 */
import * as Effect from "effect/Effect"
import type { DriverError, Request } from "../../KafkaDriver.ts"
import type { TransactionAdminError } from "../../TransactionAdminError.ts"
import { describe } from "../classify.ts"
import { type About, aboutCluster, type Call, isRepeatable, notInTime, remaining } from "./ask.ts"
import { failed, reasonOf } from "./ask.ts"

/** Who has not answered, and how that failed. */
export interface Missing {
  readonly about: About
  readonly error: DriverError
}

export interface Round<A> {
  readonly found: ReadonlyArray<A>
  readonly missing: ReadonlyArray<Missing>
}

const pauseMillis = 200

/** The last round that was complete, or the last one in time. Fails when nobody has answered. */
export const untilComplete = <A>(
  call: Call,
  request: Request,
  round: Effect.Effect<Round<A>, DriverError>
): Effect.Effect<Round<A>, TransactionAdminError> =>
  Effect.suspend(() => {
    let last: Round<A> | null = null
    let lastError: DriverError | null = null
    const loop: Effect.Effect<Round<A>, TransactionAdminError> = Effect.matchEffect(round, {
      onSuccess: (done) => {
        last = done
        return done.missing.some(({ error }) => isRepeatable(error))
          ? again
          : Effect.succeed(done)
      },
      onFailure: (error) => {
        lastError = error
        return isRepeatable(error)
          ? again
          : Effect.fail(failed(call, reasonOf(error, aboutCluster)))
      }
    })
    const again = Effect.andThen(Effect.sleep(pauseMillis), Effect.suspend(() => loop))
    return Effect.flatMap(remaining(call), (duration) =>
      Effect.timeoutOrElse(loop, {
        duration,
        orElse: () =>
          last !== null
            ? Effect.succeed(last)
            : Effect.fail(notInTime(
              call,
              request,
              aboutCluster,
              lastError === null ? "no answer" : describe(lastError)
            ))
      }))
  }).pipe(Effect.flatMap((done) => {
    const [first] = done.missing
    if (first === undefined || done.found.length > 0) return Effect.succeed(done)
    // Nobody has answered: then it is no matter of parts.
    return Effect.fail(
      isRepeatable(first.error)
        ? notInTime(call, request, first.about, describe(first.error))
        : failed(call, reasonOf(first.error, first.about))
    )
  }))

/** Those who are missing, in words. */
export const toldOf = (missing: ReadonlyArray<Missing>) =>
  missing.map(({ about, error }) => ({ what: about.text, problem: describe(error) }))
