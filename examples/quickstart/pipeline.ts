/**
 * The pipeline: raw flights in; enriched flights, delays by airport, and dead letters out.
 *
 * Delays are written as deltas: for each batch and airport one record that says how many flights
 * there were, and by how many minutes late in all. The sum of all committed deltas is right however
 * the partitions move, because each flight is in exactly one committed batch. A running total would
 * not be: the next owner of a partition, and this one after each abort, would first have to read
 * back what the last total was.
 */
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { Batch } from "@kafka-once/core/ExactlyOnceOptions"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Names } from "./cluster.ts"

/** What a line must be. */
const Flight = Schema.Struct({
  date: Schema.NonEmptyString,
  delay: Schema.Int,
  distance: Schema.Int,
  origin: Schema.NonEmptyString,
  destination: Schema.NonEmptyString
})

const Enriched = Schema.Struct({
  route: Schema.String,
  departure: Schema.String,
  delay: Schema.Int,
  band: Schema.Literals(["early", "on time", "late", "very late"]),
  distance: Schema.Int
})

/** One batch's share of an airport's delays. */
export const Delay = Schema.Struct({ flights: Schema.Int, delayMinutes: Schema.Int })

/** A flight that ends where it began. */
class GoesNowhere extends Data.TaggedError("GoesNowhere")<{ readonly airport: string }> {
  override get message(): string {
    return `from ${this.airport} to ${this.airport}`
  }
}

type Flight = typeof Flight.Type

const bandOf = (delay: number): typeof Enriched.Type["band"] => {
  if (delay < 0) return "early"
  if (delay < 15) return "on time"
  return delay < 120 ? "late" : "very late"
}

const enrich = (flight: Flight): Effect.Effect<typeof Enriched.Type, GoesNowhere> => {
  const { date, delay, destination, distance, origin } = flight
  if (origin === destination) return Effect.fail(new GoesNowhere({ airport: origin }))
  const departure = date.replace(/^(\d+)\/(\d+)\/(\d+) /, "$1-$2-$3T")
  return Effect.succeed({
    route: `${origin}-${destination}`,
    departure,
    delay,
    band: bandOf(delay),
    distance
  })
}

const delaysOf = (flights: ReadonlyArray<Flight>): ReadonlyMap<string, typeof Delay.Type> => {
  const delays = new Map<string, typeof Delay.Type>()
  for (const { delay, origin } of flights) {
    const sum = delays.get(origin) ?? { flights: 0, delayMinutes: 0 }
    delays.set(origin, { flights: sum.flights + 1, delayMinutes: sum.delayMinutes + delay })
  }
  return delays
}

/** How long one request may go without an answer. */
export const requestTimeout = Duration.seconds(1)

/** The header that tells which attempt at which batch a record is of. */
export const batchHeader = "batch"

/**
 * Runs the pipeline in the current scope. `around` is given each attempt at a batch, so that the
 * quickstart can stop one half way; a program of your own has no need of it.
 */
export const make = (
  names: Names,
  instanceId: string,
  around: (
    flights: number,
    send: (batch: string) => ReturnType<typeof sendAll>
  ) => ReturnType<typeof sendAll>
) =>
  ExactlyOnce.make({
    groupId: names.group,
    instanceId,
    input: Topic.make({ name: names.raw, key: Topic.text, value: Topic.json(Flight) }),
    outputs: [{ name: names.flights }, { name: names.delays }],
    deadLetterTopic: names.dead,
    process: (batch) => around(batch.records.length, (id) => sendAll(names, batch, id)),
    batch: { records: 250 },
    // `enrich` fails in the same way each time, so that trying again is for show.
    retry: Schedule.recurs(1),
    // Short, so that a dead worker and a cut network are noticed while one watches.
    consumer: {
      sessionTimeout: "6 seconds",
      heartbeatInterval: "1 second",
      requestTimeout
    },
    producer: {
      transactionTimeout: "5 seconds",
      commitTimeout: "2 seconds",
      requestTimeout
    }
  })

/** One batch's results, which the pipeline commits together with the batch's offsets. */
const sendAll = (names: Names, { records }: Batch<string | null, Flight>, batch: string) =>
  Effect.gen(function*() {
    const headers = { [batchHeader]: batch }
    const flights = Topic.make({
      name: names.flights,
      key: Topic.text,
      value: Topic.json(Enriched)
    })
    const delays = Topic.make({ name: names.delays, key: Topic.text, value: Topic.json(Delay) })
    const enriched = yield* Effect.forEach(
      records,
      ({ key, value }) =>
        Effect.flatMap(enrich(value), (value) => Topic.record(flights, { key, value, headers }))
    )
    const deltas = yield* Effect.forEach(
      delaysOf(records.map(({ value }) => value)),
      ([key, value]) => Topic.record(delays, { key, value, headers })
    )
    yield* Transaction.send([...enriched, ...deltas])
  })
