import { assert, describe, it } from "@effect/vitest"
import * as Chart from "../src/Chart.ts"
import * as Figure from "../src/Figure.ts"

const figure = (work: string, contender: string, unit: string, values: ReadonlyArray<number>) =>
  Figure.make({ work, contender, unit }, values)

const figures = [
  figure("single", "kafka-once on kafkajs", "transactions/s", [100, 150, 200]),
  figure("single", "Java client", "transactions/s", [50, 75, 400]),
  figure("single", "Java client", "ms, median", [7]),
  figure("single", "kafka-once on kafkajs ÷ Java client", "ratio", [2]),
  figure("a < b & c", "Java client", "records/s", [12_345.6])
]

const widthsOf = (svg: string): ReadonlyArray<number> =>
  [...svg.matchAll(/<rect class="(?:ours|other)"[^>]* width="([\d.]+)"/g)].map((found) =>
    Number(found[1])
  )

describe("the chart", () => {
  const svg = Chart.render(figures)

  it("has a bar for each rate, and none for other figures", () => {
    assert.lengthOf(widthsOf(svg), 3)
    assert.notInclude(svg, "ratio")
    assert.notInclude(svg, "ms, median")
    assert.lengthOf(svg.match(/class="ours"/g) ?? [], 1)
  })

  it("draws the bars of a work by their medians, to the largest of its rounds", () => {
    const [ours, java, other] = widthsOf(svg)
    assert.closeTo(ours! / java!, 2, 0.01)
    // The longest round of the first work is 400; the only one of the second fills the room.
    assert.closeTo(ours! / other!, 150 / 400, 0.01)
  })

  it("draws the spread from the slowest round to the fastest", () => {
    const [from, to] = /<line class="spread" x1="([\d.]+)" x2="([\d.]+)"/.exec(svg)!.slice(1)
    const zero = Number(/<rect class="ours" x="([\d.]+)"/.exec(svg)![1])
    assert.closeTo((Number(to) - zero) / (Number(from) - zero), 200 / 100, 0.01)
  })

  it("is one well-formed document, whatever the names hold", () => {
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" [^>]+>\n/)
    assert.isTrue(svg.endsWith("</svg>\n"))
    assert.include(svg, "a &lt; b &amp; c")
    assert.include(svg, ">12,346<")
    for (const tag of ["svg", "text", "tspan", "style"]) {
      const opened = svg.match(new RegExp(`<${tag}[ >]`, "g")) ?? []
      assert.lengthOf(svg.match(new RegExp(`</${tag}>`, "g")) ?? [], opened.length, tag)
    }
  })

  it("grows with what is in it, and nothing lies below its edge", () => {
    const height = Number(/height="(\d+)"/.exec(svg)![1])
    const tops = [...svg.matchAll(/ y="([\d.]+)"/g)].map((found) => Number(found[1]))
    assert.isBelow(Math.max(...tops), height)
    assert.isBelow(Number(/height="(\d+)"/.exec(Chart.render([]))![1]), height)
  })
})
