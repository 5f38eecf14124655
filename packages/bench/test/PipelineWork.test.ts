import { assert, describe, it } from "@effect/vitest"
import * as PipelineJob from "../src/PipelineJob.ts"
import * as PipelineLatency from "../src/PipelineLatency.ts"
import * as PipelineMemory from "../src/PipelineMemory.ts"
import * as PipelineTopics from "../src/PipelineTopics.ts"
import * as PipelineWatch from "../src/PipelineWatch.ts"
import * as PipelineWork from "../src/PipelineWork.ts"

const job = { group: "g", input: "in", output: "out", records: 300_000, batch: 5_000 }

describe("pipeline jobs", () => {
  it("are read as they were written, and nothing else is", () => {
    assert.deepStrictEqual(PipelineJob.fromLine(PipelineJob.toLine(job)), job)
    for (const line of ["", "g in", "g in out many 5", "g in out 5"]) {
      assert.isNull(PipelineJob.fromLine(line), line)
    }
  })

  it("are answered by words, among which a client may write its own", () => {
    const words: ReadonlyArray<PipelineJob.Word> = [
      { _tag: "Ready" },
      { _tag: "At", records: 1_000_000, residentBytes: 7 },
      { _tag: "Live", live: { heapBytes: 30, externalBytes: 4 } },
      { _tag: "Done", done: { seconds: 1.5, cpuSeconds: 0.25, largestBytes: -1, transactions: 60 } }
    ]
    for (const word of words) {
      assert.deepStrictEqual(PipelineJob.hear(PipelineJob.say(word)), word)
    }
    for (
      const line of ["done", "done 1 2 3", "done 1 2 3 x", "at 5", "live 5", "ready or not", "{}"]
    ) {
      assert.isNull(PipelineJob.hear(line), line)
    }
  })
})

describe("a pipeline's watch", () => {
  it("is done with the last record, and tells of each million", () => {
    const told: Array<PipelineJob.Word> = []
    const watch = PipelineWatch.make(2_000_001, (word) => {
      // Told where the tests run with `--expose-gc`.
      if (word._tag !== "Live") told.push(word)
    })
    watch.given()
    assert.isFalse(watch.committed(999_999))
    assert.lengthOf(told, 0)
    assert.isFalse(watch.committed(1_000_001))
    assert.isTrue(watch.committed(1))
    assert.deepStrictEqual(told.map((word) => word._tag === "At" && word.records), [2_000_000])
    const { cpuSeconds, largestBytes, seconds, transactions } = watch.done()
    assert.isAtLeast(seconds, 0)
    assert.isAtLeast(cpuSeconds, 0)
    assert.isAbove(largestBytes, 1_000_000)
    assert.strictEqual(transactions, 3)
  })
})

describe("an output", () => {
  it("that lost one record and doubled another has another sum", () => {
    assert.deepStrictEqual(PipelineTopics.sumOf(4), { records: 4, numbers: 0 + 1 + 2 + 3 })
  })
})

describe("figures of pipelines", () => {
  const done = (seconds: number, cpuSeconds = 0.3): PipelineJob.Done => ({
    seconds,
    cpuSeconds,
    largestBytes: 1e6,
    transactions: 4
  })

  const lines = PipelineWork.linesOf(
    "work",
    new Map([
      ["ExactlyOnce, kafkajs", [done(2), done(4)]],
      ["ExactlyOnce, platformatic", [done(1, 0.2), done(1, 0.1)]],
      ["raw kafkajs, eachBatch", [done(3), done(3, 0.4)]],
      ["raw @platformatic/kafka", [done(2), done(2)]],
      ["Java client, plain loop", [done(0.5), done(0.5)]],
      ["Kafka Streams, exactly_once_v2", [done(1), done(1.6)]]
    ]),
    100
  )
  const told = (unit: string) => lines.filter(({ figure }) => figure.unit === unit)

  it("hold contenders against each other round by round", () => {
    const goal = (value: number) => ({ is: "at least", value }) as const
    assert.deepStrictEqual(
      told("ratio").map(({ figure, goal }) => [figure.contender, figure.min, figure.max, goal]),
      [
        ["ExactlyOnce, kafkajs ÷ raw kafkajs, eachBatch", 0.75, 1.5, goal(1)],
        ["ExactlyOnce, platformatic ÷ Java client, plain loop", 0.5, 0.5, goal(1)],
        ["ExactlyOnce, platformatic ÷ Kafka Streams, exactly_once_v2", 1, 1.6, goal(1.5)],
        ["ExactlyOnce, platformatic ÷ raw kafkajs, eachBatch", 3, 3, goal(2.5)]
      ]
    )
  })

  it("tell of each contender what it did a second, a transaction, and took of processors", () => {
    for (const unit of ["records/s", "records/transaction", "µs CPU/record", "MB at most"]) {
      assert.lengthOf(told(unit), 6, unit)
    }
    const [kafkajs, platformatic] = told("µs CPU/record")
    assert.strictEqual(kafkajs?.figure.median, 3_000)
    assert.closeTo(platformatic!.figure.median, 1_500, 1e-6)
    assert.strictEqual(told("records/transaction")[0]?.figure.median, 25)
  })

  it("hold processor time against raw kafkajs, where less is better", () => {
    const [one, ...others] = told("ratio of CPU")
    assert.lengthOf(others, 0)
    assert.closeTo(one!.figure.max, 0.2 / 0.3, 1e-9)
    assert.closeTo(one!.figure.min, 0.1 / 0.4, 1e-9)
    assert.deepStrictEqual(one?.goal, { is: "at most", value: 1 })
  })

  it("tell the percentiles that were reached", () => {
    const millis = Array.from({ length: 200 }, (_, index) => 200 - index)
    const [median, high] = PipelineLatency.linesOf("one", millis)
    assert.deepStrictEqual([median?.figure.median, high?.figure.median], [100, 198])
  })

  it("hold the last million against the second, and tell what is live", () => {
    const lines = PipelineMemory.linesOf(3_000_000, {
      contender: "one",
      done: done(10),
      live: { heapBytes: 30e6, externalBytes: 4e6 },
      residentBytes: [50e6, 100e6, 150e6]
    })
    const unit = (name: string) => lines.find(({ figure }) => figure.unit === name)?.figure.median
    assert.strictEqual(unit("MB of heap after GC"), 30)
    assert.strictEqual(unit("MB outside of the heap after GC"), 4)
    const growth = lines.at(-1)
    assert.deepStrictEqual([growth?.figure.median, growth?.goal?.is], [1.5, "at most"])
  })
})
