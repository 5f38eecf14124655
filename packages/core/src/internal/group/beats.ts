/**
 * When the next heartbeat is due, and who waits for it to be answered.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { DriverError } from "../../DriverError.ts"
import * as Signal from "./signal.ts"

export interface Beats {
  /** Waits until the next heartbeat is due. */
  readonly next: (intervalMillis: number) => Effect.Effect<void>
  /** The next heartbeat is due at once. */
  readonly soon: () => void
  /** Waits for a heartbeat that begins after the call, and for its answer. */
  readonly ask: Effect.Effect<void, DriverError>
  /** A heartbeat begins; whoever has asked for one is to be told how it went. */
  readonly begin: () => (result: Result.Result<unknown, DriverError>) => void
  /** There are no more. */
  readonly end: (error: DriverError) => void
}

export const make = (): Beats => {
  const signal = Signal.make()
  let isDue = false
  let waiting: Array<Deferred.Deferred<void, DriverError>> = []
  let underWay: typeof waiting = []
  let ended: DriverError | null = null

  const soon = (): void => {
    isDue = true
    signal.changed()
  }

  const begin: Beats["begin"] = () => {
    isDue = false
    underWay = waiting
    waiting = []
    return (result) => {
      for (const one of underWay.splice(0)) {
        Deferred.doneUnsafe(
          one,
          result._tag === "Success" ? Effect.void : Effect.fail(result.failure)
        )
      }
    }
  }

  return {
    next: (intervalMillis) =>
      Effect.raceFirst(Effect.sleep(intervalMillis), signal.until(() => isDue || undefined)),
    soon,
    ask: Effect.suspend(() => {
      if (ended !== null) return Effect.fail(ended)
      const answer = Deferred.makeUnsafe<void, DriverError>()
      waiting.push(answer)
      soon()
      return Deferred.await(answer)
    }),
    begin,
    end: (error) => {
      ended = error
      for (const one of [...underWay.splice(0), ...waiting.splice(0)]) {
        Deferred.doneUnsafe(one, Effect.fail(error))
      }
    }
  }
}
