import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"

const anotherLeader = (
  kafka: EmbeddedKafka.EmbeddedKafka["Service"],
  topic: string,
  notId: number
) =>
  kafka.leaderOf(topic, 0).pipe(
    Effect.map(({ id }) => id),
    Effect.repeat({ until: (id) => id !== notId, schedule: Schedule.spaced("50 millis") }),
    Effect.timeout("20 seconds")
  )

layer(
  EmbeddedKafka.layer({ nodes: 3, listeners: "sasl", authorizer: true }),
  { timeout: "3 minutes", excludeTestServices: true }
)("a cluster of three nodes with users and access rules", (it) => {
  it.effect("a lookup of what is not there fails, and says so", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const { message } = yield* Effect.flip(kafka.leaderOf("missing", 0))
      assert.include(message, "looking up missing-0")
      assert.include(message, "UNKNOWN_TOPIC_OR_PARTITION")
    }))

  it.effect("without a node that is frozen another leads, and it believes so when thawed", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("frozen")
      const leader = yield* kafka.leaderOf("frozen", 0)
      yield* leader.freeze
      assert.strictEqual(yield* leader.status, "frozen")
      const next = yield* anotherLeader(kafka, "frozen", leader.id)
      yield* leader.thaw
      assert.strictEqual((yield* kafka.leaderOf("frozen", 0)).id, next)
      yield* kafka.awaitInSync
    }))

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
    "two of three that are down come back at once",
    () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        const [one, other] = kafka.nodes
        assert(one !== undefined && other !== undefined)
        yield* Effect.all([one.kill, other.stop], { concurrency: 2 })
        assert.strictEqual(yield* one.status, "stopped")
        assert.strictEqual(yield* other.status, "stopped")
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
