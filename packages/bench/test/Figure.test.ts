import { assert, describe, it } from "@effect/vitest"
import * as Figure from "../src/Figure.ts"

const about = { work: "work", contender: "contender", unit: "transactions/s" }

describe("a figure", () => {
  it("has the middle value of an odd number of runs, and leaves their order alone", () => {
    const values = [9, 1, 100]
    assert.deepStrictEqual(Figure.make(about, values), {
      ...about,
      median: 9,
      min: 1,
      max: 100,
      runs: 3
    })
    assert.deepStrictEqual(values, [9, 1, 100])
  })

  it("has the mean of the two middle values of an even number of runs", () => {
    const { median, runs } = Figure.make(about, [10, 2, 4, 100])
    assert.strictEqual(median, 7)
    assert.strictEqual(runs, 4)
  })

  it("of one run is that run", () => {
    assert.deepStrictEqual(Figure.make(about, [-3]), {
      ...about,
      median: -3,
      min: -3,
      max: -3,
      runs: 1
    })
  })

  it("meets its goal by its median, the bound itself included", () => {
    const figure = Figure.make(about, [1, 5, 9])
    assert.isTrue(Figure.isMet(figure, { is: "at least", value: 5 }))
    assert.isFalse(Figure.isMet(figure, { is: "at least", value: 5.1 }))
    assert.isTrue(Figure.isMet(figure, { is: "at most", value: 5 }))
    assert.isFalse(Figure.isMet(figure, { is: "at most", value: 4.9 }))
  })
})
