/**
 * How long a record takes through a pipeline at low load: from the send of the input to the moment
 * at which a reader under read_committed has the output. Writer and reader are this process, which
 * has one clock; the pipeline is a process of its own, with its defaults.
 */
import * as Consumer from "@kafka-once/core/Consumer"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Kafka as KafkaJsClient, logLevel, Partitioners } from "kafkajs"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"
import * as Figure from "./Figure.ts"
import * as PipelineContender from "./PipelineContender.ts"

type Kafka = EmbeddedKafka["Service"]

const intervalMillis = 10
// The pipeline joins its group and warms up meanwhile.
const ignoredSeconds = 3
const contenders = ["kafkajs", "platformatic"]

/** Sends 100 records a second through a pipeline over each driver. */
export const latency = (kafka: Kafka, length: Length) =>
  Effect.map(
    Effect.forEach(contenders, (name) => latencyOf(kafka, name, length === "short" ? 5 : 30)),
    (lines) => lines.flat()
  )

const latencyOf = (kafka: Kafka, name: string, seconds: number) =>
  Effect.scoped(Effect.gen(function*() {
    const [input, output] = [`latency-${name}`, `latency-${name}-out`]
    yield* kafka.createTopic(input)
    yield* kafka.createTopic(output)
    yield* Console.error(`latency, ${name}: 100 records a second for ${seconds} s`)
    const ignored = ignoredSeconds * 1_000 / intervalMillis
    const records = ignored + seconds * 1_000 / intervalMillis
    const contender = yield* PipelineContender.node(name, kafka.bootstrapServers)
    const sentAt: Array<number> = []
    const millis: Array<number> = []
    const write = yield* writer(kafka.bootstrapServers, input)
    yield* Effect.forkScoped(
      contender.run({ group: input, input, output, records, batch: 1_000 })
    )
    yield* Effect.forkScoped(
      Effect.repeat(
        Effect.suspend(() => {
          sentAt.push(performance.now())
          return write(`${sentAt.length - 1} `.padEnd(100, "0123456789"))
        }),
        { schedule: Schedule.fixed(intervalMillis), times: records - 1 }
      )
    )
    yield* readAll(kafka.bootstrapServers, output, records, (number) => {
      if (number >= ignored) millis.push(performance.now() - sentAt[number]!)
    })
    return linesOf(`ExactlyOnce, ${name}`, millis)
  }))

/** The figures of one pipeline. */
export const linesOf = (contender: string, millis: ReadonlyArray<number>): ReadonlyArray<Line> => {
  const sorted = millis.toSorted((one, other) => one - other)
  const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1]!
  const line = (unit: string, value: number): Line => ({
    figure: Figure.make({ work: "latency, 100 records/s", contender, unit }, [value]),
    goal: null
  })
  return [line("ms, median", at(0.5)), line("ms, 99th percentile", at(0.99))]
}

// kafkajs sets timers in the past, about which Node would print a warning.
const writer = (brokers: ReadonlyArray<string>, topic: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise(async () => {
        process.removeAllListeners("warning")
        const producer = new KafkaJsClient({ brokers: [...brokers], logLevel: logLevel.NOTHING })
          .producer({ createPartitioner: Partitioners.DefaultPartitioner })
        await producer.connect()
        return producer
      }),
      (producer) => Effect.ignore(Effect.tryPromise(() => producer.disconnect()))
    ),
    (producer) => (value: string) =>
      Effect.tryPromise(() => producer.send({ topic, messages: [{ value }] }))
  )

const readAll = (
  brokers: ReadonlyArray<string>,
  topic: string,
  records: number,
  seen: (number: number) => void
) =>
  Effect.scoped(Effect.gen(function*() {
    const consumer = yield* Consumer.make({ groupId: `${topic}-reader`, topics: [topic] })
    const decoder = new TextDecoder()
    let count = 0
    yield* consumer.batches.pipe(
      Stream.mapEffect((batch) => {
        for (const { value } of batch.records) {
          seen(Number(decoder.decode(value ?? new Uint8Array()).split(" ")[0]))
        }
        count += batch.records.length
        return consumer.commit(batch.offsets)
      }),
      Stream.takeUntil(() => count >= records),
      Stream.runDrain
    )
  })).pipe(Effect.provide(Platformatic.layer({ brokers })))
