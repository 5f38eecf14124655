/**
 * What a pipeline takes of memory while it goes on: for each driver and each set of Node's flags a
 * process of its own, compiled as users run it, and one run of a million records, or of ten million
 * as a day's work.
 */
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"
import * as Figure from "./Figure.ts"
import * as LineProcess from "./LineProcess.ts"
import * as PipelineContender from "./PipelineContender.ts"
import type { Done, Live } from "./PipelineJob.ts"
import * as PipelineTopics from "./PipelineTopics.ts"

type Kafka = EmbeddedKafka["Service"]

/** One run: what it took, what was live at its end, and the resident memory at each million. */
interface Run {
  readonly contender: string
  readonly done: Done
  readonly live: Live
  readonly residentBytes: ReadonlyArray<number>
}

const batch = 5_000
const drivers = ["kafkajs", "platformatic"]

/**
 * Node collects late where its machine has much memory. The first flag bounds the space of young
 * objects, the second one how far the rest may grow beyond what was live after a collection (to
 * twice of it). A heap limit makes V8 collect much earlier, at the cost of the processor.
 */
const flagSets: ReadonlyArray<ReadonlyArray<string>> = [
  [],
  ["--max-semi-space-size=16"],
  ["--max-semi-space-size=16", "--heap-growing-percent=100"],
  ["--max-semi-space-size=16", "--max-old-space-size=1024"]
]

/** A day's work takes minutes, so that it is done with the flags that are recommended alone. */
const flagSetsOf = (length: Length) => length === "long" ? flagSets.slice(2, 3) : flagSets

const recordsOf = (length: Length): number =>
  length === "short" ? 100_000 : length === "long" ? 10_000_000 : 1_000_000

/** Runs all, one after the other. */
export const memory = (kafka: Kafka, length: Length) =>
  Effect.scoped(Effect.gen(function*() {
    yield* LineProcess.compile
    const records = recordsOf(length)
    const topics = yield* PipelineTopics.make(kafka)
    const input = "pipeline-memory"
    yield* topics.makeInput(input, 1, records)
    const lines: Array<Line> = []
    for (const driver of drivers) {
      for (const [nth, flags] of flagSetsOf(length).entries()) {
        const output = `${input}-${driver}-${nth}`
        lines.push(
          ...linesOf(
            records,
            yield* runOf(kafka, topics, driver, flags, { input, output, records })
          )
        )
      }
    }
    return lines
  }))

const runOf = (
  kafka: Kafka,
  topics: PipelineTopics.PipelineTopics,
  driver: string,
  flags: ReadonlyArray<string>,
  job: { readonly input: string; readonly output: string; readonly records: number }
) =>
  Effect.scoped(Effect.gen(function*() {
    const { output, records } = job
    yield* topics.makeOutput(output, 1)
    const contender = yield* PipelineContender.compiled(driver, kafka.bootstrapServers, [
      ...flags,
      "--expose-gc"
    ])
    const name = `${driver}, ${flags.length === 0 ? "no flags" : flags.join(" ")}`
    yield* Console.error(`memory, ${name}: ${records} records`)
    const residentBytes: Array<number> = []
    let live: Live | null = null
    const done = yield* contender.run({ group: output, ...job, batch }, (word) => {
      if (word._tag === "At") residentBytes.push(word.residentBytes)
      if (word._tag === "Live") live = word.live
    })
    yield* topics.check(output, records)
    if (live === null) return yield* Effect.fail(new Error(`${name} did not tell what is live`))
    const run: Run = { contender: name, done, live, residentBytes }
    return run
  }))

/**
 * The figures of one run. Where there are several millions the last one is held against the second,
 * in which the heap has come to its size.
 */
export const linesOf = (
  records: number,
  { contender, done, live, residentBytes }: Run
): ReadonlyArray<Line> => {
  const work = `pipeline, ${records.toLocaleString("en-US")} records`
  const one = (unit: string, value: number, goal: Figure.Goal | null = null): Line => ({
    figure: Figure.make({ work, contender, unit }, [value]),
    goal
  })
  const second = residentBytes[1]
  const last = residentBytes.at(-1)
  return [
    one("records/s", records / done.seconds),
    one("µs CPU/record", done.cpuSeconds * 1e6 / records),
    one("MB at most", done.largestBytes / 1e6, { is: "at most", value: 250 }),
    one("MB of heap after GC", live.heapBytes / 1e6),
    one("MB outside of the heap after GC", live.externalBytes / 1e6),
    ...second === undefined || last === undefined ? [] : [
      ...residentBytes.map((bytes, index) => one(`MB at ${index + 1} million`, bytes / 1e6)),
      one("last ÷ second million", last / second, { is: "at most", value: 1.2 })
    ]
  ]
}
