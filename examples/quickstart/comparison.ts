/**
 * What an independent reader sees, compared with what a plain program computes from the file.
 */
import type { CommittedRecord } from "@kafka-once/testing/CommittedRecords"
import type { Tally } from "./crew.ts"
import type { AirportSum, Expected } from "./flights.ts"
import { batchHeader } from "./pipeline.ts"

/** What the reader found in each topic. */
export interface Read {
  readonly flights: ReadonlyArray<CommittedRecord>
  readonly delays: ReadonlyArray<CommittedRecord>
  readonly dead: ReadonlyArray<CommittedRecord>
}

/** How the two differ. Batches are parts of transactions: the records of one partition. */
export interface Comparison {
  /** Batches that the reader sees. */
  readonly committed: number
  /** Batches that a worker was told have aborted, and the one that it was killed in. */
  readonly aborted: number
  /** Batches of which no worker could be told what became of them. */
  readonly unknown: number
  /** Enriched records read. */
  readonly records: number
  readonly deadLetters: number
  /** Enriched records and dead letters that are missing. */
  readonly lost: number
  /** Enriched records and dead letters that are there too often, or should not be there. */
  readonly doubled: number
  /** Batches whose flights and delays do not fit together: only a part of them is visible. */
  readonly torn: number
  readonly airports: number
  /** Airports whose sums are not those of the plain program. */
  readonly airportsUnequal: number
  /** Batches of which a worker was told another outcome than the reader sees. */
  readonly mistold: number
}

// Some flights of the file are equal to the letter, so that they are counted, not looked up.
const count = (values: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

const excess = (left: Map<string, number>, right: Map<string, number>): number => {
  let sum = 0
  for (const [value, times] of left) sum += Math.max(0, times - (right.get(value) ?? 0))
  return sum
}

const decoder = new TextDecoder()

const textOf = (bytes: Uint8Array | null): string => bytes === null ? "" : decoder.decode(bytes)

const valuesOf = (records: ReadonlyArray<CommittedRecord>): Map<string, number> =>
  count(records.map(({ value }) => textOf(value)))

const batchOf = ({ headers }: CommittedRecord): string =>
  textOf(headers.find(([name]) => name === batchHeader)?.[1] ?? null)

const deltaOf = ({ value }: CommittedRecord): AirportSum => JSON.parse(textOf(value))

const sumBy = (
  delays: ReadonlyArray<CommittedRecord>,
  keyOf: (record: CommittedRecord) => string
): Map<string, AirportSum> => {
  const sums = new Map<string, AirportSum>()
  for (const record of delays) {
    const { delayMinutes, flights } = deltaOf(record)
    const sum = sums.get(keyOf(record)) ?? { flights: 0, delayMinutes: 0 }
    sums.set(keyOf(record), {
      flights: sum.flights + flights,
      delayMinutes: sum.delayMinutes + delayMinutes
    })
  }
  return sums
}

/** Compares what was read with what was expected, and with what the workers were told. */
export const compare = (expected: Expected, tally: Tally, read: Read): Comparison => {
  const pairs = [
    [count(expected.enriched), valuesOf(read.flights)],
    [count(expected.malformed), valuesOf(read.dead)]
  ] as const
  const total = (of: (wanted: Map<string, number>, seen: Map<string, number>) => number) =>
    pairs.reduce((sum, [wanted, seen]) => sum + of(wanted, seen), 0)
  const flightsByBatch = count(read.flights.map(batchOf))
  const delaysByBatch = sumBy(read.delays, batchOf)
  const batches = new Set([...flightsByBatch.keys(), ...delaysByBatch.keys()])
  const torn = [...batches].filter((batch) =>
    flightsByBatch.get(batch) !== delaysByBatch.get(batch)?.flights
  )
  const airports = sumBy(read.delays, ({ key }) => textOf(key))
  const names = new Set([...airports.keys(), ...expected.airports.keys()])
  const unequal = [...names].filter((name) => {
    const [seen, wanted] = [airports.get(name), expected.airports.get(name)]
    return seen?.flights !== wanted?.flights || seen?.delayMinutes !== wanted?.delayMinutes
  })
  const told = [...tally.outcomes]
  const toldAs = (outcome: string) => told.filter(([, told]) => told === outcome)
  const mistold = told.filter(([batch, outcome]) =>
    outcome !== "Unknown" && batches.has(batch) !== (outcome === "Committed")
  )
  return {
    committed: batches.size,
    aborted: toldAs("Aborted").length + (tally.killed === null ? 0 : 1),
    unknown: toldAs("Unknown").length,
    records: read.flights.length,
    deadLetters: read.dead.length,
    lost: total(excess),
    doubled: total((wanted, seen) => excess(seen, wanted)),
    torn: torn.length,
    airports: airports.size,
    airportsUnequal: unequal.length,
    // The batch that its worker was killed in must not be there.
    mistold: mistold.length + (tally.killed !== null && batches.has(tally.killed) ? 1 : 0)
  }
}

/** Whether nothing is lost, doubled, torn, mistold or summed up wrongly. */
export const isRight = (found: Comparison): boolean =>
  found.lost + found.doubled + found.torn + found.airportsUnequal + found.mistold === 0
