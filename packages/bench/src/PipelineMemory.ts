/**
 * What a pipeline takes of memory while it goes on: a process of its own for each driver, one run
 * of a million records, or of ten million as a day's work.
 */
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"
import * as Figure from "./Figure.ts"
import * as PipelineContender from "./PipelineContender.ts"
import type { Done } from "./PipelineJob.ts"
import * as PipelineTopics from "./PipelineTopics.ts"

type Kafka = EmbeddedKafka["Service"]

/** One run: what it took, and the resident memory at each million. */
interface Run {
  readonly contender: string
  readonly done: Done
  readonly residentBytes: ReadonlyArray<number>
}

const batch = 5_000
const contenders = ["kafkajs", "platformatic"]

const recordsOf = (length: Length): number =>
  length === "short" ? 100_000 : length === "long" ? 10_000_000 : 1_000_000

/** Runs both drivers, one after the other. */
export const memory = (kafka: Kafka, length: Length) =>
  Effect.scoped(Effect.gen(function*() {
    const records = recordsOf(length)
    const topics = yield* PipelineTopics.make(kafka)
    const input = "pipeline-memory"
    yield* topics.makeInput(input, 1, records)
    const lines: Array<Line> = []
    for (const name of contenders) {
      lines.push(...linesOf(records, yield* runOf(kafka, topics, name, { input, records })))
    }
    return lines
  }))

const runOf = (
  kafka: Kafka,
  topics: PipelineTopics.PipelineTopics,
  name: string,
  { input, records }: { readonly input: string; readonly records: number }
) =>
  Effect.scoped(Effect.gen(function*() {
    const output = `${input}-${name}`
    yield* topics.makeOutput(output, 1)
    const contender = yield* PipelineContender.node(name, kafka.bootstrapServers)
    yield* Console.error(`memory, ${name}: ${records} records`)
    const residentBytes: Array<number> = []
    const done = yield* contender.run({ group: output, input, output, records, batch }, (word) => {
      if (word._tag === "At") residentBytes.push(word.residentBytes)
    })
    yield* topics.check(output, records)
    const run: Run = { contender: `ExactlyOnce, ${name}`, done, residentBytes }
    return run
  }))

/** The figures of one run. The last million is held against the first where there are several. */
export const linesOf = (
  records: number,
  { contender, done, residentBytes }: Run
): ReadonlyArray<Line> => {
  const work = `pipeline, ${records.toLocaleString("en-US")} records`
  const one = (unit: string, value: number, goal: Figure.Goal | null = null): Line => ({
    figure: Figure.make({ work, contender, unit }, [value]),
    goal
  })
  const [first] = residentBytes
  const last = residentBytes.at(-1)
  return [
    one("records/s", records / done.seconds),
    one("MB at most", done.largestBytes / 1e6, { is: "at most", value: 250 }),
    ...first === undefined || last === undefined || residentBytes.length < 2 ? [] : [
      ...residentBytes.map((bytes, index) => one(`MB at ${index + 1} million`, bytes / 1e6)),
      one("last ÷ first million", last / first, { is: "at most", value: 1.2 })
    ]
  ]
}
