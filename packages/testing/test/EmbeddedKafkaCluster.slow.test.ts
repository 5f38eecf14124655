import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"

layer(
  EmbeddedKafka.layer({ nodes: 3, listeners: "sasl", authorizer: true }),
  { timeout: "3 minutes", excludeTestServices: true }
)("a cluster of three nodes with users and access rules", (it) => {
  it.effect(
    "a rolling restart restarts every node, and ends with all replicas in sync",
    () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("rolled", { partitions: 3 })
        yield* kafka.rollingRestart
        for (const { status } of kafka.nodes) assert.strictEqual(yield* status, "running")
        yield* kafka.awaitInSync
        const again = yield* Effect.flip(kafka.createTopic("rolled"))
        assert.include(again.message, "TopicExistsException")
      }),
    120_000
  )

  it.effect(
    "with two of three down nothing is led, and both come back at once",
    () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        const [one, other] = kafka.nodes
        assert(one !== undefined && other !== undefined)
        yield* Effect.all([one.kill, other.stop], { concurrency: 2 })
        const { message } = yield* Effect.flip(kafka.transactionCoordinatorOf("any"))
        assert.include(message, "COORDINATOR_NOT_AVAILABLE")
        yield* Effect.all([one.start, other.start], { concurrency: 2 })
        yield* kafka.awaitInSync
        yield* kafka.transactionCoordinatorOf("any")
      }),
    120_000
  )

  it.effect(
    "killed, and stopped in order, all at once, it starts again with its topics",
    () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("kept")
        for (const end of [kafka.kill, kafka.stop]) {
          yield* end
          const refused = yield* Effect.flip(kafka.createTopic("other"))
          assert.include(refused.message, "the broker is stopped")
          yield* kafka.start
          yield* kafka.awaitInSync
          const again = yield* Effect.flip(kafka.createTopic("kept"))
          assert.include(again.message, "TopicExistsException")
        }
      }),
    120_000
  )
})
