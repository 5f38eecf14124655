/**
 * The raw client's reading under read_committed (K14), beside the library's.
 */
import { assert, layer } from "@effect/vitest"
import { write } from "@kafka-once/proof/ConsumerBench"
import * as Consumer from "@kafka-once/proof/ConsumerSteps"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import { Kafka, logLevel } from "kafkajs"
import * as KafkaJs from "../src/KafkaJs.ts"

/** What kafkajs' own consumer is given, up to a value. */
const readRaw = (brokers: ReadonlyArray<string>, topic: string, last: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING })
        .consumer({ groupId: `raw-${topic}`, readUncommitted: false })
    ),
    (consumer) =>
      Effect.callback<ReadonlyArray<string>, unknown>((resume) => {
        const values: Array<string> = []
        const read = async () => {
          await consumer.connect()
          await consumer.subscribe({ topic, fromBeginning: true })
          await consumer.run({
            eachMessage: async ({ message: { value } }) => {
              values.push(String(value))
              if (values.at(-1) === last) resume(Effect.succeed(values))
            }
          })
        }
        read().catch((cause: unknown) => resume(Effect.fail(cause)))
      }),
    (consumer) => Effect.promise(() => consumer.disconnect())
  )

layer(EmbeddedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
  "two transactions that overlap and are aborted, the later one first",
  (it) => {
    it.effect("the raw client shows a record of one; the library shows none (K14)", () =>
      Effect.gen(function*() {
        const { bootstrapServers, createTopic } = yield* EmbeddedKafka.EmbeddedKafka
        const topic = "overlapping"
        yield* createTopic(topic)
        yield* Effect.gen(function*() {
          const { session: earlier } = yield* DriverSteps.open("earlier")
          const { session: later } = yield* DriverSteps.open("later")
          for (const [session, value] of [[earlier, "first"], [later, "second"]] as const) {
            yield* session.begin
            yield* DriverSteps.sendOne(session, DriverSteps.batch(topic, 0, value))
          }
          // The broker lists aborted transactions by their ends; kafkajs takes it for the order of
          // their beginnings.
          yield* DriverSteps.persist(later.end("abort"))
          yield* DriverSteps.persist(earlier.end("abort"))
          yield* write(topic, ["commit", "last"])
          assert.deepStrictEqual(yield* readRaw(bootstrapServers, topic, "last"), ["first", "last"])
          const { session } = yield* Consumer.openFromStart(Consumer.options("ours", [topic]))
          const at = { topic, partition: 0 }
          assert.deepStrictEqual(yield* Consumer.takeValues(session, at, 1), ["last"])
        }).pipe(Effect.scoped, Effect.provide(KafkaJs.layer({ brokers: bootstrapServers })))
      }))
  }
)
