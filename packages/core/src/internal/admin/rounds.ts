/**
 * Asking many: in rounds, until all have answered or the time is over.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { DriverError, Request } from "../../KafkaDriver.ts"
import type { TransactionAdminError } from "../../TransactionAdminError.ts"
import { describe } from "../classify.ts"
import {
  type About,
  aboutCluster,
  attempt,
  type Call,
  failed,
  isRepeatable,
  notInTime,
  reasonOf,
  remaining
} from "./ask.ts"

/** Who has not answered, and how that failed. */
export interface Missing {
  readonly about: About
  readonly error: DriverError
}

export interface Round<A> {
  readonly found: ReadonlyArray<A>
  readonly missing: ReadonlyArray<Missing>
}

/** Brokers that are asked at once. */
const concurrency = 16

/**
 * One round over all brokers, which are looked up anew each time: a coordinator that moved between
 * two of them may have been asked in vain by both.
 */
export const roundOfBrokers = <A>(
  call: Call,
  request: Request,
  send: (brokerId: number) => Effect.Effect<A, DriverError>
): Effect.Effect<Round<A>, DriverError> =>
  Effect.gen(function*() {
    const brokers = yield* attempt(call, "Metadata", () => call.driver.brokers)
    const answers = yield* Effect.forEach(brokers, (brokerId) =>
      Effect.map(
        Effect.result(attempt(call, request, () => send(brokerId))),
        (result) => ({ about: { text: `broker ${brokerId}` }, result })
      ), { concurrency })
    return {
      found: answers.flatMap(({ result }) => Result.isSuccess(result) ? [result.success] : []),
      missing: answers.flatMap(({ about, result }) =>
        Result.isFailure(result) ? [{ about, error: result.failure }] : []
      )
    }
  })

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
