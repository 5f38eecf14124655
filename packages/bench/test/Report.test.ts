import { assert, describe, it } from "@effect/vitest"
import type { Goal, Line } from "../src/Figure.ts"
import * as Figure from "../src/Figure.ts"
import * as Report from "../src/Report.ts"

const line = (contender: string, values: ReadonlyArray<number>, goal: Goal | null): Line => ({
  figure: Figure.make({ work: "core", contender, unit: "ratio" }, values),
  goal
})

const lines = [
  line("fast", [12_345.6, 1_000, 20_000], { is: "at least", value: 10_000 }),
  line("a longer name", [0.123, 42.42], { is: "at most", value: 8 }),
  line("no goal", [-1.5], null)
]

describe("the report", () => {
  const rows = Report.render(lines).split("\n").filter((row) => row !== "")

  it("has a heading, a rule as wide, and a row for each figure in its order", () => {
    assert.lengthOf(rows, 2 + lines.length)
    assert.match(rows[0]!, /^work +contender +median +min +max +unit +runs +goal$/)
    assert.match(rows[1]!, /^[- ]+$/)
    const width = rows[1]!.length
    for (const row of rows) assert.isAtMost(row.length, width)
    assert.match(rows[2]!, /^core +fast .* 3 /)
    assert.match(rows[4]!, /^core +no goal .* 1$/)
  })

  it("shows as many digits as tell something", () => {
    assert.match(rows[2]!, / 12,346 +1,000 +20,000 /)
    assert.match(rows[3]!, / 21\.3 +0\.12 +42\.4 /)
    assert.match(rows[4]!, / -1\.50 +-1\.50 +-1\.50 /)
  })

  it("says of a goal whether it is met, and nothing where there is none", () => {
    assert.match(rows[2]!, / at least 10,000 +met$/)
    assert.match(rows[3]!, / at most 8 +NOT MET$/)
    assert.notMatch(rows[4]!, /met/i)
  })

  it("sets the cells of a column one below the other", () => {
    const startOf = (cell: string) => rows.find((row) => row.includes(cell))!.indexOf(cell)
    assert.strictEqual(startOf("at least"), startOf("at most"))
    assert.strictEqual(rows[2]!.indexOf("ratio"), rows[4]!.indexOf("ratio"))
  })
})
