/**
 * The input: real flights as JSON lines, some of them made malformed on purpose, and what a plain
 * program makes of them.
 *
 * The plain program shares no code with the pipeline: it is what the result is held against.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"

/** A line of the input, with the airport that it is keyed by. */
export interface Line {
  readonly key: string
  readonly value: string
}

/** What a plain program computes from the lines. */
export interface Expected {
  /** The enriched records, as JSON, in the order of the lines. */
  readonly enriched: ReadonlyArray<string>
  /** The lines that no record can be made of. */
  readonly malformed: ReadonlyArray<string>
  readonly airports: ReadonlyMap<string, AirportSum>
}

/** How many flights left an airport, and by how many minutes late in all. */
export interface AirportSum {
  readonly flights: number
  readonly delayMinutes: number
}

interface Flight {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

const file = new URL("../data/flights-20k.json", import.meta.url)

const read = Effect.map(
  Effect.promise(() => readFile(file, "utf8")), // a file of this repository: missing is a defect
  (text): ReadonlyArray<Flight> => JSON.parse(text)
)

/** The file's flights, repeated with the year shifted until there are `count` of them. */
const repeatTo = (flights: ReadonlyArray<Flight>, count: number): ReadonlyArray<Flight> =>
  Array.from({ length: count }, (_, index) => {
    const flight = flights[index % flights.length]!
    const year = Number(flight.date.slice(0, 4)) + Math.floor(index / flights.length)
    return { ...flight, date: `${year}${flight.date.slice(4)}` }
  })

// The first three do not decode. The last one does, and is what the pipeline's own code refuses.
const spoilings: ReadonlyArray<(flight: Flight) => string> = [
  (flight) => JSON.stringify(flight).slice(0, 50),
  (flight) => JSON.stringify({ ...flight, delay: "late" }),
  (flight) => JSON.stringify({ ...flight, origin: undefined }),
  (flight) => JSON.stringify({ ...flight, destination: flight.origin })
]

const spoiledEvery = 500
const firstSpoiled = 3

/** The lines of the input: `count` flights, of which one in 500 is malformed. */
export const load = (count: number): Effect.Effect<ReadonlyArray<Line>> =>
  Effect.map(read, (all) =>
    repeatTo(all, count).map((flight, index) => {
      const spoil = spoilings[Math.floor(index / spoiledEvery) % spoilings.length]!
      const isSpoiled = index % spoiledEvery === firstSpoiled
      const value = isSpoiled ? spoil(flight) : JSON.stringify(flight)
      return { key: flight.origin, value }
    }))

const parse = (line: string): Partial<Flight> => {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}

/** What a plain program makes of the lines. */
export const compute = (lines: ReadonlyArray<Line>): Expected => {
  const enriched: Array<string> = []
  const malformed: Array<string> = []
  const airports = new Map<string, AirportSum>()
  for (const { value } of lines) {
    const { date, delay, destination, distance, origin } = parse(value)
    if (
      date === undefined || typeof delay !== "number" || distance === undefined ||
      origin === undefined || origin === destination
    ) {
      malformed.push(value)
      continue
    }
    const band = delay < 0 ? "early" : delay < 15 ? "on time" : delay < 120 ? "late" : "very late"
    const departure = date.replaceAll("/", "-").replace(" ", "T")
    const route = `${origin}-${destination}`
    enriched.push(JSON.stringify({ route, departure, delay, band, distance }))
    const sum = airports.get(origin) ?? { flights: 0, delayMinutes: 0 }
    airports.set(origin, { flights: sum.flights + 1, delayMinutes: sum.delayMinutes + delay })
  }
  return { enriched, malformed, airports }
}
