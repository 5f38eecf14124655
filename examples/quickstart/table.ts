/**
 * The closing table, for people.
 */
import type { Comparison } from "./comparison.ts"
import type { Tally } from "./crew.ts"
import type { Expected } from "./flights.ts"

/** What the table tells. */
export interface Told {
  readonly found: Comparison
  readonly expected: Expected
  readonly tally: Tally
  readonly recordsPerSecond: number
  readonly seconds: number
}

const number = new Intl.NumberFormat("en-US")

/** Renders the closing table. */
export const renderTable = (
  { expected, found, recordsPerSecond, seconds, tally }: Told
): string => {
  const { cutMillis, killed } = tally
  const cutSeconds = ((cutMillis ?? 0) / 1_000).toFixed(1)
  const rows: ReadonlyArray<readonly [string, number | string, string]> = [
    ["workers killed", killed === null ? 0 : 1, "in the middle of a transaction, then replaced"],
    [
      "network cuts",
      cutMillis === null ? 0 : 1,
      cutMillis === null
        ? "none on purpose on your own cluster"
        : `of ${cutSeconds} s, in the middle of a transaction`
    ],
    ["batches committed", found.committed, "results and offsets in one transaction"],
    ["  aborted", found.aborted, "by faults, and to find the records that fail"],
    ["  unknown", found.unknown, ""],
    ["  torn", found.torn, "of which only a part is visible"],
    ["  mistold", found.mistold, "workers were told otherwise than the log says"],
    ["flights read back", found.records, "read_committed, by the Java client"],
    ["  a plain program says", expected.enriched.length, ""],
    ["dead letters", found.deadLetters, ""],
    ["  a plain program says", expected.malformed.length, "flights were made malformed on purpose"],
    ["lost", found.lost, "flights and dead letters"],
    ["doubled", found.doubled, ""],
    ["airports", found.airports, "with their delays summed up"],
    ["  a plain program says", expected.airports.size, ""],
    ["  sums that differ", found.airportsUnequal, ""],
    ["throughput", `${number.format(recordsPerSecond)}/s`, "records, faults included"],
    ["took", `${seconds.toFixed(1)} s`, "from the start to this table"]
  ]
  const cells = rows.map(([name, value, note]) =>
    [name, typeof value === "number" ? number.format(value) : value, note] as const
  )
  const widths = [0, 1].map((column) => Math.max(...cells.map((row) => row[column]!.length)))
  const lines = cells.map(([name, value, note]) =>
    `  ${name.padEnd(widths[0]!)}  ${value.padStart(widths[1]!)}  ${note}`.trimEnd()
  )
  return `\n${lines.join("\n")}\n`
}
