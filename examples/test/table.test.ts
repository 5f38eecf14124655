import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { renderTable } from "../quickstart/table.ts"

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

/** The lines with every number, and the width of every column, taken out. */
const shapeOf = (table: string): ReadonlyArray<string> =>
  table.trim().split("\n").map((line) =>
    line.trim().replaceAll(/[\d.,]+/g, "#").replaceAll(/ +/g, " ")
  )

it("the README shows the table as it is printed", () => {
  const table = renderTable({
    found: {
      committed: 1,
      aborted: 1,
      unknown: 0,
      records: 1,
      deadLetters: 1,
      lost: 0,
      doubled: 0,
      torn: 0,
      airports: 1,
      airportsUnequal: 0,
      mistold: 0
    },
    expected: { enriched: [], malformed: [], airports: new Map() },
    tally: { outcomes: new Map(), killed: "a batch", cutMillis: 1_500, millis: 1 },
    recordsPerSecond: 1,
    seconds: 1
  })
  const [, shown = ""] = /```text\n(?:.*\n)*?( *workers killed(?:.*\n)*?)```/.exec(readme) ?? []
  assert.deepStrictEqual(shapeOf(shown), shapeOf(table))
})
