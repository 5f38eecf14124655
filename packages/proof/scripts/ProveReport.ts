/**
 * What `npm run prove` prints and writes.
 */
import type { Scenario, Verdict } from "@kafka-once/proof/Scenario"

/** One scenario on one driver, as `--json` writes it. */
export interface Row {
  readonly scenario: string
  readonly driver: string
  readonly raw: Verdict
  readonly library: Verdict
}

const columns = 100

/** One line for the scenario, and what each contender made of it below. */
export const block = ({ id, title }: Scenario, { driver, library, raw }: Row): string =>
  [
    `${id.padEnd(5)}${title}`,
    verdict(`raw ${driver}`, raw),
    verdict("kafka-once", library),
    ""
  ].join("\n")

const verdict = (name: string, { holds, what }: Verdict): string => {
  const head = `     ${name.padEnd(24)}${holds ? "holds   " : "BREAKS  "}`
  return wrapped(what, columns - head.length)
    .map((line, index) => (index === 0 ? head : " ".repeat(head.length)) + line)
    .join("\n")
}

const wrapped = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

/** The last line of the output. */
export const summary = (rows: ReadonlyArray<Row>): string =>
  [...new Set(rows.map(({ driver }) => driver))].map((name) => {
    const own = rows.filter(({ driver }) => driver === name)
    const count = (side: "raw" | "library") => own.filter((row) => row[side].holds).length
    return `raw ${name} holds in ${count("raw")} of ${own.length}, ` +
      `kafka-once in ${count("library")} of ${own.length}`
  }).join("; ")

/** 1 where the library did not hold: that the raw client does not is no failure of this program. */
export const exitCode = (rows: ReadonlyArray<Row>): number =>
  rows.length > 0 && rows.every(({ library }) => library.holds) ? 0 : 1
