/**
 * A broker's quotas. A broker answers at once and says for how long it will not read the connection
 * on which a quota was exceeded (KIP-219). Whatever is written meanwhile would seem to have no
 * answer, and its connection to be of no use, so it is held back here.
 */
import type { DriverError, Request } from "@kafka-once/core/KafkaDriver"
import type { Reader } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { notSent } from "./failure.ts"

/** Where an answer says for how long its connection is throttled. */
export type Place = "first" | "last" | "nowhere"

const throttled = Metric.counter("kafka_once.throttled", {
  description: "Answers that asked the client to wait because of a quota",
  incremental: true
})

const throttledMillis = Metric.counter("kafka_once.throttled.duration", {
  description: "Milliseconds for which brokers have asked the client to wait because of a quota",
  incremental: true
})

/** What is garbled must not silence a connection for ever. */
const longestMillis = 60_000

export interface Throttle {
  /** Reads what an answer holds, and for how long the connection is to wait. */
  readonly read: <A>(reader: Reader, place: Place, content: () => A) => A
  /** Holds a request back while the broker does not read, for at most as long as it may take. */
  readonly hold: <A>(
    request: Request,
    limitMillis: number,
    ask: Effect.Effect<A, DriverError>
  ) => Effect.Effect<A, DriverError>
  /** How many requests are held back. */
  readonly held: () => number
  /** Counts what `read` has found since. */
  readonly count: Effect.Effect<void>
}

export const make = (): Throttle => {
  let untilMillis = 0
  let held = 0
  let uncounted: Array<number> = []

  const note = (millis: number): void => {
    if (millis <= 0) return
    const believed = Math.min(millis, longestMillis)
    uncounted.push(believed)
    untilMillis = Math.max(untilMillis, performance.now() + believed)
  }

  const hold: Throttle["hold"] = (request, limitMillis, ask) =>
    Effect.suspend(() => {
      const left = untilMillis - performance.now()
      if (left <= 0) return ask
      held++
      const detail = `The broker asks to wait for ${Math.ceil(left)} ms, because of a quota`
      return Effect.sleep(Math.min(left, limitMillis)).pipe(
        Effect.onExit(() => {
          held--
          return Effect.void
        }),
        Effect.andThen(
          left > limitMillis
            ? Effect.fail(notSent(request, detail))
            // Another answer may have come meanwhile.
            : hold(request, limitMillis - left, ask)
        )
      )
    })

  return {
    hold,
    held: () => held,
    read: (reader, place, content) => {
      if (place === "first") note(reader.peekInt32())
      const answer = content()
      if (place === "last") note(reader.readInt32())
      return answer
    },
    count: Effect.suspend(() => {
      if (uncounted.length === 0) return Effect.void
      const found = uncounted
      uncounted = []
      return Effect.andThen(
        Metric.update(throttled, found.length),
        Metric.update(throttledMillis, found.reduce((sum, millis) => sum + millis, 0))
      )
    })
  }
}
