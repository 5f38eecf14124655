import { assert, describe, it } from "@effect/vitest"
import type { Line } from "../src/Figure.ts"
import { type Done, fromLine, hear, type Job, quantile, say, toLine } from "../src/ProducerJob.ts"
import { entry, linesOf, type Turn, type Work } from "../src/ProducerWork.ts"
import * as ProducerWorks from "../src/ProducerWorks.ts"

const job: Job = {
  topic: "topic",
  prefix: "single-java",
  producers: 2,
  lanes: 1,
  transactions: 10,
  records: 5,
  calls: "each"
}

const done: Done = {
  seconds: 2,
  cpuSeconds: 0.5,
  medianMillis: 4,
  ninetiethMillis: 20.5,
  residentBytes: 100e6,
  largestBytes: 150e6
}

describe("the lines between the bench and its contenders", () => {
  it("say the same job, and what it took, on both sides", () => {
    assert.deepStrictEqual(fromLine(toLine(job)), job)
    assert.deepStrictEqual(hear(say(done)), done)
  })

  it("are told from any other line", () => {
    assert.isNull(fromLine("run topic prefix 2 1 10 5 some"))
    assert.isNull(fromLine("run topic prefix 2 1 ten 5 one"))
    assert.isNull(fromLine(toLine(job).replace("run", "walk")))
    assert.isNull(hear("ready"))
    assert.isNull(hear("done 1 2 3 4 5"))
    assert.isNull(hear("done 1 2 3 4 5 six"))
  })

  it("hold the nearest rank of the times", () => {
    const times = [5, 1, 4, 2, 3, 10, 9, 8, 7, 6]
    assert.strictEqual(quantile(times, 0.5), 5)
    assert.strictEqual(quantile(times, 0.9), 9)
    assert.strictEqual(quantile([7], 0.9), 7)
  })
})

const work: Work = {
  work: "work",
  topic: "topic",
  partitions: 1,
  job: { producers: 2, lanes: 1, transactions: 10, records: 5, calls: "one" },
  entries: [entry("platformatic"), entry("java")],
  rounds: 3,
  warmUpRounds: 0,
  unit: "transactions/s",
  tells: ["times", "memory", "CPU"],
  comparisons: [
    {
      by: "throughput",
      of: "kafka-once on platformatic",
      to: "Java client",
      goal: { is: "at least", value: 1 }
    },
    { by: "memory", of: "kafka-once on platformatic", to: "Java client", goal: null }
  ]
}

const turns = (own: Partial<Job>, seconds: ReadonlyArray<number>, largestBytes: number) =>
  seconds.map((seconds): Turn => ({
    job: { ...job, ...own },
    done: { ...done, seconds, largestBytes }
  }))

const figureOf = (lines: ReadonlyArray<Line>, contender: string, unit: string) => {
  const found = lines.filter(({ figure }) => figure.contender === contender && figure.unit === unit)
  assert.lengthOf(found, 1, `${contender} ${unit}`)
  return found[0]!
}

describe("the figures of a producers' work", () => {
  const lines = linesOf(
    work,
    new Map([
      ["kafka-once on platformatic", turns({ transactions: 20 }, [2, 20, 2], 100e6)],
      ["Java client", turns({}, [2, 10, 4], 400e6)]
    ])
  )

  it("count the transactions of all producers, each by its own job", () => {
    assert.strictEqual(
      figureOf(lines, "kafka-once on platformatic", "transactions/s").figure.median,
      20
    )
    assert.strictEqual(figureOf(lines, "Java client", "transactions/s").figure.median, 5)
  })

  it("compare within each round", () => {
    const name = "kafka-once on platformatic ÷ Java client"
    const { figure, goal } = figureOf(lines, name, "ratio")
    // The second round is slow for both.
    assert.deepStrictEqual([figure.min, figure.median, figure.max], [1, 2, 4])
    assert.deepStrictEqual(goal, { is: "at least", value: 1 })
    assert.strictEqual(figureOf(lines, name, "ratio of memory").figure.median, 0.25)
  })

  it("tell the time of a transaction, memory and processor time a record", () => {
    assert.strictEqual(figureOf(lines, "Java client", "ms, median").figure.median, 4)
    assert.strictEqual(figureOf(lines, "Java client", "ms, 90th percentile").figure.median, 20.5)
    assert.strictEqual(figureOf(lines, "Java client", "MB at most").figure.median, 400)
    assert.strictEqual(figureOf(lines, "Java client", "µs CPU/record").figure.median, 5_000)
  })

  it("are asked of works whose comparisons are between their own entries", () => {
    for (const length of ["short", "default"] as const) {
      const { batch, ids, lanes, single, thousandIds, volume } = ProducerWorks
      const all = [single, lanes, ids, thousandIds, volume].map((make) => make(length))
      for (const work of [...all, batch(length, 1), batch(length, 3)]) {
        const labels = work.entries.map(({ label }) => label)
        assert.strictEqual(new Set(labels).size, labels.length)
        for (const { of, to } of work.comparisons) assert.includeMembers(labels, [of, to])
      }
    }
  })
})
