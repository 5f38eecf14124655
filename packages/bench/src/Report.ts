/**
 * The figures for people: a table with the goals, and whether they are met.
 */
import { isMet, type Line } from "./Figure.ts"

const format = (value: number): string => {
  const digits = Math.abs(value) >= 1_000 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return new Intl.NumberFormat("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits
  }).format(value)
}

const header = ["work", "contender", "median", "min", "max", "unit", "runs", "goal", ""] as const

const cells = ({ figure, goal }: Line): ReadonlyArray<string> => [
  figure.work,
  figure.contender,
  format(figure.median),
  format(figure.min),
  format(figure.max),
  figure.unit,
  `${figure.runs}`,
  goal === null ? "" : `${goal.is} ${goal.value.toLocaleString("en-US")}`,
  goal === null ? "" : isMet(figure, goal) ? "met" : "NOT MET"
]

const isNumber = (column: number): boolean => column >= 2 && column <= 4

/** Renders the table. */
export const render = (lines: ReadonlyArray<Line>): string => {
  const rows = [header, ...lines.map(cells)]
  const widths = header.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const text = rows.map((row) =>
    row
      .map((cell, column) =>
        isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
      )
      .join("  ")
      .trimEnd()
  )
  const rule = widths.map((width) => "-".repeat(width)).join("  ")
  return `\n${[text[0], rule, ...text.slice(1)].join("\n")}\n`
}
