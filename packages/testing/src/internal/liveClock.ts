/**
 * Runs an effect on the machine's clock.
 *
 * A broker is a process of its own: its start takes real time, and a test that holds the clock
 * still (`it.effect` does) would wait for it for ever.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export const withLiveClock = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())
