/**
 * The closing table, for people.
 */
import type { Result } from "./comparison.ts"

/** What the table tells besides the result. */
export interface Circumstances {
  readonly days: number
  readonly spoiled: number
  readonly expected: number
  readonly sentAgain: number
  readonly lostAnswers: number
  readonly killed: string | null
  readonly seconds: number
}

const number = new Intl.NumberFormat("en-US")

/** Renders the closing table. */
export const renderTable = (result: Result, about: Circumstances): string => {
  const { committed, aborted, unknown, records, lost, doubled, torn } = result
  const rows: ReadonlyArray<readonly [string, string, string]> = [
    ["transactions", `${about.days}`, "one per flight day, all or nothing"],
    ["  committed", `${committed}`, ""],
    ["  aborted", `${aborted}`, `${about.spoiled} days were spoiled on purpose`],
    ["  unknown", `${unknown}`, ""],
    [
      "answers lost",
      `${about.lostAnswers}`,
      about.lostAnswers > 0
        ? `a send timed out and was retried; sessions replaced: ${about.sentAgain}`
        : "none on purpose on your own cluster"
    ],
    [
      "processes killed",
      about.killed === null ? "0" : "1",
      about.killed === null ? "" : `in the middle of ${about.killed}, then replaced`
    ],
    ["records read back", number.format(records), "read_committed, by the Java client"],
    ["  the file says", number.format(about.expected), ""],
    ["  lost", `${lost}`, ""],
    ["  doubled", `${doubled}`, ""],
    ["  torn", `${torn}`, "days of which only a part is visible"],
    ["throughput", `${number.format(result.recordsPerSecond)}/s`, "records, faults included"],
    [
      "took",
      `${about.seconds.toFixed(1)} s`,
      about.lostAnswers > 0 ? "with the broker's start" : ""
    ]
  ]
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map(([name, value, note]) =>
    `  ${name.padEnd(widths[0]!)}  ${value.padStart(widths[1]!)}  ${note}`.trimEnd()
  )
  return `\n${lines.join("\n")}\n`
}
