/**
 * Consume, transform, produce, exactly once: the library over both drivers beside the raw clients,
 * the plain loop in Java and Kafka Streams, each in a process of its own, in turns.
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
import type { StreamsJars } from "./StreamsJars.ts"

type Kafka = EmbeddedKafka["Service"]

const names = {
  kafkajs: "ExactlyOnce, kafkajs",
  platformatic: "ExactlyOnce, platformatic",
  rawKafkajs: "raw kafkajs, eachBatch",
  rawPlatformatic: "raw @platformatic/kafka",
  java: "Java client, plain loop",
  streams: "Kafka Streams, exactly_once_v2"
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

/**
 * Streams commits by time: at the rate that it reaches when it is warm, so many milliseconds come
 * to about the records of a batch. How many they were is among the figures; its default under
 * exactly_once_v2, 100 ms, makes transactions of 15,000 to 30,000.
 */
const commitIntervalMillis = 10

/** Runs all contenders on an input of one partition, and on one of three. */
export const pipeline = (kafka: Kafka, streams: StreamsJars, length: Length) =>
  Effect.scoped(Effect.gen(function*() {
    const topics = yield* PipelineTopics.make(kafka)
    const { bootstrapServers, classPath } = kafka
    const brokers = bootstrapServers.join(",")
    const node = (name: string) => PipelineContender.node(name, bootstrapServers)
    const java = PipelineContender.java
    const contenders: ReadonlyMap<Name, PipelineContender.PipelineContender> = new Map([
      [names.kafkajs, yield* node("kafkajs")],
      [names.platformatic, yield* node("platformatic")],
      [names.rawKafkajs, yield* node("raw-kafkajs")],
      [names.rawPlatformatic, yield* node("raw-platformatic")],
      [names.java, yield* java("PipelineLoop", classPath, [brokers])],
      [
        names.streams,
        yield* java("PipelineStreams", streams.classPath, [brokers, `${commitIntervalMillis}`])
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
    yield* Console.error(
      `${work}: ${contenders.size} contenders, ${rounds} rounds, ${batch} records a batch ` +
        `(Kafka Streams: commit.interval.ms ${commitIntervalMillis})`
    )
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
  const each = (unit: string, value: (done: Done) => number): ReadonlyArray<Line> =>
    [...runs.keys()].map((contender) => ({
      figure: Figure.make({ work, contender, unit }, of(contender).map(value)),
      goal: null
    }))
  const ratio = (by: "throughput" | "CPU", one: Name, other: Name, goal: Figure.Goal): Line => ({
    figure: Figure.make(
      {
        work,
        contender: `${one} ÷ ${other}`,
        unit: by === "throughput" ? "ratio" : "ratio of CPU"
      },
      of(one).map((done, round) => {
        const beside = of(other)[round]!
        return by === "throughput"
          ? beside.seconds / done.seconds
          : done.cpuSeconds / beside.cpuSeconds
      })
    ),
    goal
  })
  const atLeast = (value: number): Figure.Goal => ({ is: "at least", value })
  return [
    ...each("records/s", ({ seconds }) => records / seconds),
    ratio("throughput", names.kafkajs, names.rawKafkajs, atLeast(1)),
    ratio("throughput", names.platformatic, names.java, atLeast(1)),
    ratio("throughput", names.platformatic, names.streams, atLeast(1.5)),
    ratio("throughput", names.platformatic, names.rawKafkajs, atLeast(2.5)),
    ...each("records/transaction", ({ transactions }) => records / transactions),
    ...each("µs CPU/record", ({ cpuSeconds }) => cpuSeconds * 1e6 / records),
    ratio("CPU", names.platformatic, names.rawKafkajs, { is: "at most", value: 1 }),
    ...each("MB at most", ({ largestBytes }) => largestBytes / 1e6)
  ]
}
