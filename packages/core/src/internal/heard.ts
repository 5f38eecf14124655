import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * What the producers and the member of one pipeline tell each other when brokers answer again:
 * whoever hears one first ends the pauses of the others.
 *
 * Nobody is told of an answer unless there was silence before it, and whoever finds silence has
 * waited for a whole deadline, so that no pause is cut short again and again.
 */
export interface Heard {
  /** Completed the next time that a broker is heard. */
  next: Deferred.Deferred<void>
}

/**
 * Makes what a pipeline's own share.
 */
export const make = (): Heard => ({ next: Deferred.makeUnsafe() })

/**
 * Tells that a broker answers after there was silence.
 */
export const tell = (heard: Heard | null): void => {
  if (heard === null) return
  const waiting = heard.next
  heard.next = Deferred.makeUnsafe()
  Deferred.doneUnsafe(waiting, Effect.void)
}

/**
 * Waits until somebody else hears a broker.
 */
export const next = (heard: Heard | null): Effect.Effect<void> =>
  heard === null ? Effect.never : Effect.suspend(() => Deferred.await(heard.next))

/**
 * Waits until a broker is heard, but no longer than a pause takes.
 */
export const pause = (heard: Heard | null, duration: Duration.Input): Effect.Effect<void> =>
  Effect.raceFirst(Effect.sleep(duration), next(heard))

/**
 * What the producers and members that the current fiber makes share; `null` outside of a pipeline.
 */
export const CurrentHeard = Context.Reference<Heard | null>("@kafka-once/core/CurrentHeard", {
  defaultValue: () => null
})
