import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Rounds from "../src/Rounds.ts"

/** Contenders that take the seconds they are told to, by a clock that only they move. */
const course = (rounds: number, warmUpRounds: number) => {
  let now = 0
  const order: Array<string> = []
  const contender = (name: string, count: number, secondsOf: (turn: number) => number) => {
    let turn = 0
    return {
      name,
      count,
      run: (asked: number) =>
        Effect.sync(() => {
          assert.strictEqual(asked, count)
          order.push(name)
          now += secondsOf(turn++)
        })
    }
  }
  const run = (contenders: ReadonlyArray<Rounds.Contender>) =>
    Rounds.run({ work: "work", contenders, rounds, warmUpRounds, seconds: Effect.sync(() => now) })
  return { contender, order, run }
}

describe("rounds", () => {
  it.effect("have each contender once, and begin with another one each time", () =>
    Effect.gen(function*() {
      const { contender, order, run } = course(3, 1)
      yield* run(["a", "b", "c"].map((name) => contender(name, 1, () => 1)))
      assert.strictEqual(order.join(""), "abcbcacababc")
    }))

  it.effect("count what is done a second, and not what warms up", () =>
    Effect.gen(function*() {
      const { contender, run } = course(3, 2)
      const seconds = [100, 100, 1, 2, 4]
      const rates = yield* run([contender("a", 8, (turn) => seconds[turn]!)])
      assert.deepStrictEqual(rates.byContender.get("a"), [8, 4, 2])
      const { median, min, max, runs, ...about } = Rounds.figure(rates, "a", "transactions/s")
      assert.deepStrictEqual({ median, min, max, runs }, { median: 4, min: 2, max: 8, runs: 3 })
      assert.deepStrictEqual(about, { work: "work", contender: "a", unit: "transactions/s" })
    }))

  it.effect("compare two contenders within each round", () =>
    Effect.gen(function*() {
      const { contender, run } = course(3, 0)
      // The second round is slow for both: the ratio does not see it, a ratio of medians would.
      const [fast, slow] = [[1, 10, 1], [2, 30, 4]]
      const rates = yield* run([
        contender("fast", 6, (turn) => fast![turn]!),
        contender("slow", 6, (turn) => slow![turn]!)
      ])
      const ratio = Rounds.ratio(rates, "fast", "slow")
      assert.deepStrictEqual(
        [ratio.min, ratio.median, ratio.max].map((value) => Math.round(value * 1e6) / 1e6),
        [2, 3, 4]
      )
      assert.strictEqual(ratio.contender, "fast ÷ slow")
      assert.strictEqual(ratio.unit, "ratio")
      const cost = Rounds.cost(rates, "what slow adds", { of: "slow", without: "fast" })
      assert.deepStrictEqual(
        [cost.min, cost.median, cost.max].map(Math.round),
        [1 / 6, 3 / 6, 20 / 6].map((seconds) => Math.round(seconds * 1e6))
      )
      assert.strictEqual(cost.unit, "µs")
    }))

  it.effect("end with the failure of a contender, after which no other has its turn", () =>
    Effect.gen(function*() {
      const { contender, order } = course(2, 0)
      const exit = yield* Effect.exit(Rounds.run({
        work: "work",
        seconds: Effect.succeed(0),
        rounds: 2,
        warmUpRounds: 0,
        contenders: [
          { name: "broken", count: 1, run: () => Effect.fail("broken" as const) },
          contender("a", 1, () => 1)
        ]
      }))
      assert.deepStrictEqual(exit, Exit.fail("broken" as const))
      assert.deepStrictEqual(order, [])
    }))

  it.effect("have no figure of who took no part", () =>
    Effect.gen(function*() {
      const { contender, run } = course(1, 0)
      const rates = yield* run([contender("a", 1, () => 1)])
      assert.throws(() => Rounds.ratio(rates, "a", "b"), '"b" took no part in "work"')
    }))
})
