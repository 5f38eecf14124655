/**
 * Consume, transform, produce, exactly once: the library over both drivers beside the raw client
 * and the plain loop in Java, each in a process of its own, in turns.
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

const names = {
  kafkajs: "ExactlyOnce, kafkajs",
  platformatic: "ExactlyOnce, platformatic",
  rawKafkajs: "raw kafkajs, eachBatch",
  java: "Java client, plain loop"
} as const

type Name = (typeof names)[keyof typeof names]

/** How much is done in one run, and how often. The JVM needs a million records to be warm. */
interface Course {
  readonly records: number
  readonly batch: number
  readonly rounds: number
  readonly warmUpRounds: number
}

const courseOf = (length: Length): Course =>
  length === "short"
    ? { records: 60_000, batch: 5_000, rounds: 3, warmUpRounds: 1 }
    : { records: 300_000, batch: 5_000, rounds: 5, warmUpRounds: 4 }

/** Runs all contenders on an input of one partition, and on one of three. */
export const pipeline = (kafka: Kafka, length: Length) =>
  Effect.scoped(Effect.gen(function*() {
    const topics = yield* PipelineTopics.make(kafka)
    const node = (name: string) => PipelineContender.node(name, kafka.bootstrapServers)
    const contenders: ReadonlyMap<Name, PipelineContender.PipelineContender> = new Map([
      [names.kafkajs, yield* node("kafkajs")],
      [names.platformatic, yield* node("platformatic")],
      [names.rawKafkajs, yield* node("raw-kafkajs")],
      [
        names.java,
        yield* PipelineContender.java("PipelineLoop.java", kafka.classPath, kafka.bootstrapServers)
      ]
    ])
    const lines: Array<Line> = []
    for (const partitions of length === "short" ? [1] : [1, 3]) {
      lines.push(...yield* onPartitions(topics, contenders, courseOf(length), partitions))
    }
    return lines
  }))

type Runs = ReadonlyMap<Name, Array<Done>>

const onPartitions = (
  topics: PipelineTopics.PipelineTopics,
  contenders: ReadonlyMap<Name, PipelineContender.PipelineContender>,
  { batch, records, rounds, warmUpRounds }: Course,
  partitions: number
) =>
  Effect.gen(function*() {
    const work = `pipeline, ${partitions === 1 ? "1 partition" : `${partitions} partitions`}`
    const input = `pipeline-${partitions}`
    yield* topics.makeInput(input, partitions, records)
    const runs: Runs = new Map([...contenders.keys()].map((name) => [name, []]))
    yield* Console.error(`${work}: ${contenders.size} contenders, ${rounds} rounds`)
    for (let round = -warmUpRounds; round < rounds; round++) {
      for (let turn = 0; turn < contenders.size; turn++) {
        const [name, contender] = [...contenders][(round + warmUpRounds + turn) % contenders.size]!
        const output = `${input}-${round + warmUpRounds}-${turn}`
        yield* topics.makeOutput(output, partitions)
        const done = yield* contender.run({ group: output, input, output, records, batch })
        yield* topics.check(output, records)
        if (round >= 0) runs.get(name)!.push(done)
      }
    }
    return linesOf(work, runs, records)
  })

/** The figures of all contenders, and the goals. */
export const linesOf = (work: string, runs: Runs, records: number): ReadonlyArray<Line> => {
  const of = (name: Name): ReadonlyArray<Done> => runs.get(name) ?? []
  const figure = (contender: string, unit: string, values: ReadonlyArray<number>): Line => ({
    figure: Figure.make({ work, contender, unit }, values),
    goal: null
  })
  const ratio = (one: Name, other: Name, goal: number): Line => ({
    figure: Figure.make(
      { work, contender: `${one} ÷ ${other}`, unit: "ratio" },
      of(one).map(({ seconds }, round) => of(other)[round]!.seconds / seconds)
    ),
    goal: { is: "at least", value: goal }
  })
  const all = [...runs.keys()]
  return [
    ...all.map((name) =>
      figure(name, "records/s", of(name).map(({ seconds }) => records / seconds))
    ),
    ratio(names.kafkajs, names.rawKafkajs, 1),
    ratio(names.platformatic, names.java, 1),
    ratio(names.platformatic, names.rawKafkajs, 2.5),
    ...all.map((name) =>
      figure(
        name,
        "µs CPU/record",
        of(name).map(({ cpuSeconds }) => cpuSeconds * 1e6 / records)
      )
    ),
    ...all.map((name) =>
      figure(name, "MB at most", of(name).map(({ largestBytes }) => largestBytes / 1e6))
    )
  ]
}
