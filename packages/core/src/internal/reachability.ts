import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { KafkaDriver } from "../KafkaDriver.ts"
import { KafkaError, Unreachable } from "../KafkaError.ts"

/**
 * Whether any broker answers, as one producer knows it.
 *
 * The first caller that finds none pays its whole deadline; from then on callers fail at once,
 * until a probe in the background gets an answer.
 */
export interface Reachability {
  /** The error while no broker answers; `null` while brokers do. */
  readonly check: (operation: KafkaError["operation"], clock: Clock.Clock) => KafkaError | null
  readonly lost: (last: string) => Effect.Effect<void>
  readonly found: Effect.Effect<void>
  readonly since: () => { readonly sinceMillis: number; readonly last: string } | null
}

// Probes start at 100 ms apart and end at 5 s apart, jittered, for as long as nothing answers.
const probeSchedule = Schedule.min([
  Schedule.exponential("100 millis", 2),
  Schedule.spaced("5 seconds")
]).pipe(Schedule.jittered)

/**
 * Makes the reachability of one producer; its probe runs in `scope`.
 */
export const make = (options: {
  readonly driver: KafkaDriver["Service"]
  readonly requestTimeout: Duration.Duration
  readonly scope: Scope.Scope
  readonly onLost: (last: string) => Effect.Effect<void>
  readonly onFound: Effect.Effect<void>
}): Reachability => {
  let lost: { readonly sinceMillis: number; readonly last: string } | null = null

  const found = Effect.suspend(() => {
    if (lost === null) return Effect.void
    lost = null
    return options.onFound
  })

  const probe = options.driver.probe.pipe(
    Effect.timeout(options.requestTimeout),
    Effect.retry(probeSchedule),
    // The schedule never ends, so only the producer's scope or an answer ends the probe.
    Effect.ignore,
    Effect.andThen(found)
  )

  return {
    check: (operation, clock) => {
      if (lost === null) return null
      const { last } = lost
      const sinceMillis = clock.currentTimeMillisUnsafe() - lost.sinceMillis
      return new KafkaError({ operation, reason: new Unreachable({ sinceMillis, last }) })
    },
    lost: (last) =>
      Effect.flatMap(Clock.currentTimeMillis, (sinceMillis) => {
        if (lost !== null) return Effect.void
        lost = { sinceMillis, last }
        return Effect.andThen(options.onLost(last), Effect.forkIn(probe, options.scope))
      }),
    found,
    since: () => lost
  }
}
