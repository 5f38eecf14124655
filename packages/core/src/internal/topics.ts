import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DriverError, KafkaDriver } from "../KafkaDriver.ts"
import { type Exhausted, monotonicMillisOf, untilDeadline } from "./repeat.ts"

/**
 * How many partitions each topic has, asked once and then remembered for a while.
 */
export interface Topics {
  /** The count where it is remembered; `null` where it has to be asked. */
  readonly known: (topic: string, clock: Clock.Clock) => number | null
  readonly ask: (
    topic: string,
    clock: Clock.Clock
  ) => Effect.Effect<number, DriverError | Exhausted>
  readonly forget: (topic: string) => void
}

// The Java client's metadata.max.age.ms.
const maxAgeMillis = 300_000

// A topic's name comes from the program, and can be different for every record.
const maxTopics = 10_000

/**
 * Makes the topics of one producer.
 */
export const make = (driver: KafkaDriver["Service"], limit: Duration.Duration): Topics => {
  const counts = new Map<string, { readonly count: number; readonly untilMillis: number }>()

  const ask = (topic: string, clock: Clock.Clock) =>
    Effect.map(
      untilDeadline({
        request: "Metadata",
        limit,
        attempt: driver.partitionCount(topic),
        // No session is involved: an unanswered question about a topic changes nothing.
        onUnanswered: () => {}
      }),
      (count) => {
        if (counts.size >= maxTopics) counts.clear()
        counts.set(topic, { count, untilMillis: monotonicMillisOf(clock) + maxAgeMillis })
        return count
      }
    )

  return {
    known: (topic, clock) => {
      const entry = counts.get(topic)
      return entry !== undefined && monotonicMillisOf(clock) < entry.untilMillis
        ? entry.count
        : null
    },
    ask,
    forget: (topic) => {
      counts.delete(topic)
    }
  }
}
