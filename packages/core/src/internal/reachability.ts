import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { KafkaDriver } from "../KafkaDriver.ts"
import { KafkaError, Unreachable } from "../KafkaError.ts"
import * as Heard from "./heard.ts"

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
const firstPauseMillis = 100
const longestPauseMillis = 5_000

const jittered = (millis: number): Effect.Effect<number> =>
  Effect.map(Random.nextBetween(0.8, 1.2), (factor) => millis * factor)

/**
 * Makes the reachability of one producer; its probe runs in `scope`.
 */
export const make = (options: {
  readonly driver: KafkaDriver["Service"]
  readonly requestTimeout: Duration.Duration
  readonly scope: Scope.Scope
  readonly heard: Heard.Heard | null
  readonly onLost: (last: string) => Effect.Effect<void>
  readonly onFound: Effect.Effect<void>
}): Reachability => {
  let lost: { readonly sinceMillis: number; readonly last: string } | null = null

  const found = Effect.suspend(() => {
    if (lost === null) return Effect.void
    lost = null
    Heard.tell(options.heard)
    return options.onFound
  })

  // Only the producer's scope or an answer ends the probe.
  const probe = Effect.gen(function*() {
    for (let pause = firstPauseMillis;; pause = Math.min(pause * 2, longestPauseMillis)) {
      const told = yield* Effect.raceFirst(
        Effect.match(Effect.timeout(options.driver.probe, options.requestTimeout), {
          onSuccess: () => "answered",
          onFailure: () => "silence"
        }),
        Effect.as(Heard.next(options.heard), "heard elsewhere")
      )
      if (told === "answered") return yield* found
      // A question that is on its way when a broker is heard may be lost: it is asked again.
      if (told === "silence") yield* Heard.pause(options.heard, yield* jittered(pause))
    }
  })

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
