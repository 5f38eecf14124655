/**
 * What a member makes of its coordinator's answers, and of its silence.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ConsumerSessionOptions } from "../../ConsumerDriver.ts"
import type { DriverError } from "../../DriverError.ts"
import type { Health } from "./health.ts"

export interface Coordinator {
  /** Notes an answer of the coordinator's. */
  readonly answered: Effect.Effect<void>
  /** Notes an answer that asks for patience. */
  readonly refused: (error: DriverError) => Effect.Effect<void>
  /** Pauses after a failure that passes, or fails with it once it has lasted too long. */
  readonly unanswered: (error: DriverError) => Effect.Effect<void, DriverError>
}

/** Between two attempts that were not answered. */
const pauseMillis = 250

export const make = (
  { heartbeatIntervalMillis, sessionTimeoutMillis }: ConsumerSessionOptions,
  health: Health
): Effect.Effect<Coordinator> =>
  Effect.map(Clock.currentTimeMillis, (startedAt) => {
    let answeredAt = startedAt
    return {
      answered: Effect.map(Clock.currentTimeMillis, (now) => {
        answeredAt = now
        health.answered("group")
      }),
      refused: (error) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          answeredAt = now
          health.failed("group", error)
        }),
      unanswered: (error) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          health.failed("group", error)
          return now - answeredAt >= sessionTimeoutMillis
            ? Effect.fail(error)
            : Effect.sleep(Math.min(pauseMillis, heartbeatIntervalMillis))
        })
    }
  })

export const codeOf = ({ failure }: DriverError): number | null =>
  failure._tag === "Answered" ? failure.code : null

/** The coordinator is starting, moving or elsewhere: 14, 15 and 16. */
const isMoving = (code: number): boolean => code >= 14 && code <= 16

/** Nobody refused: the coordinator was not reached, or is somewhere else. */
export const isPassing = (error: DriverError): boolean => {
  const code = codeOf(error)
  return code === null
    ? error.failure._tag === "NoAnswer" || error.failure._tag === "NotSent"
    : isMoving(code)
}
