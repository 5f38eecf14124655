/**
 * What an independent reader sees, compared with what the file says.
 */
import type { CommittedRecord } from "@kafka-once/testing/CommittedRecords"
import type { FlightDay } from "./flights.ts"

/** The result, as `--json` writes it. */
export interface Result {
  readonly committed: number
  readonly aborted: number
  readonly unknown: number
  readonly records: number
  readonly lost: number
  readonly doubled: number
  readonly torn: number
  readonly recordsPerSecond: number
}

/** What the reader's records say of the transactions. */
export interface Comparison {
  readonly expected: number
  readonly records: number
  readonly lost: number
  readonly doubled: number
  /** Days of which only a part is there, and days that aborted of which anything is there. */
  readonly torn: number
}

// Some flights of the file are equal to the letter, so that they are counted, not looked up.
const count = (values: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

const difference = (left: Map<string, number>, right: Map<string, number>): number => {
  let sum = 0
  for (const [value, times] of left) sum += Math.max(0, times - (right.get(value) ?? 0))
  return sum
}

const dayOf = (flight: string): string => flight.slice(9, 19) // {"date":"2001/01/01 ...

/** Compares what was read with the days that a plain look at the file says are good. */
export const compare = (
  days: ReadonlyArray<FlightDay>,
  read: ReadonlyArray<CommittedRecord>
): Comparison => {
  const text = new TextDecoder()
  const seen = read.map((record) => record.value === null ? "" : text.decode(record.value))
  const good = days.filter((day) => !day.isSpoiled)
  const wanted = good.flatMap((day) => day.flights.map((flight) => JSON.stringify(flight)))
  const wantedCounts = count(wanted)
  const seenCounts = count(seen)
  const seenByDay = count(seen.map(dayOf))
  const torn = days.filter((day) => {
    const there = seenByDay.get(day.day) ?? 0
    return day.isSpoiled ? there > 0 : there > 0 && there < day.flights.length
  })
  return {
    expected: wanted.length,
    records: seen.length,
    lost: difference(wantedCounts, seenCounts),
    doubled: difference(seenCounts, wantedCounts),
    torn: torn.length
  }
}
