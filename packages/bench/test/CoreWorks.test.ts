import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CoreWorks from "../src/CoreWorks.ts"
import type { Line } from "../src/Figure.ts"

const find = (lines: ReadonlyArray<Line>, contender: string): Line => {
  const found = lines.filter(({ figure }) => figure.contender === contender)
  assert.lengthOf(found, 1, contender)
  return found[0]!
}

// How fast it is depends on the machine, and no test asks it.
describe("the core alone, in the shortest run", () => {
  it.live("has a rate of each contender, the goals, and a cost of each part", () =>
    Effect.gen(function*() {
      const lines = yield* CoreWorks.speed({ transactions: 40, rounds: 3, warmUpRounds: 0 })
      const rates = lines.filter(({ figure }) => figure.unit === "transactions/s")
      assert.isAtLeast(rates.length, 12)
      assert.strictEqual(new Set(lines.map(({ figure }) => figure.contender)).size, lines.length)
      for (const { figure } of rates) {
        assert.strictEqual(figure.runs, 3)
        assert.isAbove(figure.min, 0, figure.contender)
        assert.isAtMost(figure.min, figure.median)
        assert.isAtMost(figure.median, figure.max)
      }
      assert.deepStrictEqual(find(lines, "bracket, everything on").goal, {
        is: "at least",
        value: 10_000
      })
      assert.deepStrictEqual(find(lines, "scope, everything on").goal, {
        is: "at least",
        value: 10_000
      })
      assert.deepStrictEqual(find(lines, "bracket, tracer off").goal, {
        is: "at least",
        value: 20_000
      })
      const costs = lines.filter(({ figure }) => figure.unit === "µs")
      for (const part of ["spans", "event", "deadlines", "metrics"]) {
        assert(costs.some(({ figure }) => figure.contender.includes(part)), part)
      }
      for (const { figure } of costs) assert(Number.isFinite(figure.median), figure.contender)
      assert.strictEqual(rates.length + costs.length, lines.length)
    }))

  it.live("measures memory after a collection at each of the ten steps", () =>
    Effect.gen(function*() {
      let collections = 0
      const lines = yield* CoreWorks.memory(20, () => {
        collections += 1
      })
      // The first step warms up.
      assert.strictEqual(collections, 11)
      const heap = find(lines, "heap after each tenth")
      assert.strictEqual(heap.figure.runs, 10)
      assert.isAbove(heap.figure.min, 1)
      const growth = find(lines, "growth")
      assert.deepStrictEqual(growth.goal, { is: "at most", value: 8 })
      assert(Number.isFinite(growth.figure.median))
      assert.strictEqual(growth.figure.work, "memory, 200 transactions")
    }))
})
