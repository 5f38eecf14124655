/**
 * The input: real flights by day, three days of them spoiled on purpose.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"

/** A flight as the file has it. */
export interface RawFlight {
  readonly date: string
  readonly delay: unknown
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** What a flight must be to be written; the values that spoil a day are outside of it. */
export const Flight = Schema.Struct({
  date: Schema.NonEmptyString,
  delay: Schema.Int,
  distance: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  origin: Schema.NonEmptyString,
  destination: Schema.NonEmptyString
})

/** The flights of one day; a day is one transaction. */
export interface FlightDay {
  readonly day: string
  readonly isSpoiled: boolean
  readonly flights: ReadonlyArray<RawFlight>
}

const file = new URL("../data/flights-20k.json", import.meta.url)

const read = Effect.map(
  Effect.promise(() => readFile(file, "utf8")), // a file of this repository: missing is a defect
  (text): ReadonlyArray<RawFlight> => JSON.parse(text)
)

/** The file's flights, repeated with the year shifted until there are `count` of them. */
const repeatTo = (flights: ReadonlyArray<RawFlight>, count: number): ReadonlyArray<RawFlight> =>
  Array.from({ length: count }, (_, index) => {
    const flight = flights[index % flights.length]!
    const year = Number(flight.date.slice(0, 4)) + Math.floor(index / flights.length)
    return { ...flight, date: `${year}${flight.date.slice(4)}` }
  })

const spoilings: ReadonlyArray<(flight: RawFlight) => RawFlight> = [
  (flight) => ({ ...flight, delay: "late" }),
  (flight) => ({ ...flight, origin: "" }),
  (flight) => ({ ...flight, distance: -1 })
]

/** Spoils one flight in the second half of a day, so that part of the day is sent before it. */
const spoil = (day: FlightDay, how: (flight: RawFlight) => RawFlight): FlightDay => {
  const at = Math.floor(day.flights.length * 0.75)
  const flights = day.flights.map((flight, index) => index === at ? how(flight) : flight)
  return { ...day, isSpoiled: true, flights }
}

/** The input of the quickstart: `count` flights by day, with three days spoiled. */
export const load = (count: number): Effect.Effect<ReadonlyArray<FlightDay>> =>
  Effect.map(read, (all) => {
    const byDay = new Map<string, Array<RawFlight>>()
    for (const flight of repeatTo(all, count)) {
      const day = flight.date.slice(0, 10)
      const flights = byDay.get(day)
      if (flights === undefined) byDay.set(day, [flight])
      else flights.push(flight)
    }
    const days = [...byDay].map(([day, flights]): FlightDay => ({ day, isSpoiled: false, flights }))
    // With very few days there would be none left that is good.
    if (days.length < 2 * spoilings.length) return days
    spoilings.forEach((how, index) => {
      const at = Math.floor(((2 * index + 1) * days.length) / (2 * spoilings.length))
      days[at] = spoil(days[at]!, how)
    })
    return days
  })
