/** Producers, consumers and pipelines that start on a server that is no good broker. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@kafka-once/core/Consumer"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { isKafkaError, type KafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Platformatic from "../src/Platformatic.ts"
import * as BadServer from "./badServer.ts"
import { coordinatorAt, rows } from "./badServerRows.ts"

const consumer = { connectTimeout: "2 seconds", requestTimeout: "1 second" } as const

/** For a join, which is answered when the others have joined. */
const patience = {
  heartbeatInterval: "500 millis",
  sessionTimeout: "2 seconds",
  rebalanceTimeout: "2 seconds"
} as const

const producer = {
  requestTimeout: "500 millis",
  deliveryTimeout: "1 second",
  initializeTimeout: "2 seconds"
} as const

/**
 * What its program is told of a consumer: what it fails with, or that it waits for brokers, which a
 * consumer does for as long as it takes.
 */
const consuming = Effect.gen(function*() {
  const { batches, events } = yield* Consumer.make({
    groupId: "bad",
    topics: ["input"],
    ...consumer,
    ...patience
  })
  const waiting = Stream.runHead(Stream.filter(events, ({ _tag }) => _tag === "Unreachable"))
  return yield* Effect.raceFirst(Stream.runDrain(batches), waiting)
})

const starts = {
  producer: TransactionalProducer.make({ transactionalId: "bad", ...producer }),
  consumer: consuming,
  pipeline: ExactlyOnce.make({
    groupId: "bad",
    input: Topic.make({ name: "input", key: Topic.text, value: Topic.text }),
    process: () => Effect.void,
    consumer,
    producer
  })
}

type Start = keyof typeof starts

/** What a program is told on a server; nothing of it may be left there. */
const told = (start: Start, answer: (asked: BadServer.Asked) => Buffer | null) =>
  Effect.gen(function*() {
    const server = yield* BadServer.listen(answer)
    const starting: Effect.Effect<unknown, KafkaError, KafkaDriver | Scope.Scope> = starts[start]
    const said = yield* starting.pipe(
      Effect.scoped,
      Effect.provide(
        Platformatic.layer({
          brokers: [server.address],
          requestTimeout: "500 millis",
          authenticationTimeout: "500 millis"
        })
      ),
      // Far above the deadlines, so that only what is unbounded meets it.
      Effect.timeout("10 seconds"),
      Effect.match({
        onSuccess: () => ({ reason: "Unreachable", message: "" }),
        onFailure: (error) =>
          isKafkaError(error)
            ? { reason: error.reason._tag, message: error.message }
            : { reason: error._tag, message: "" }
      })
    )
    yield* DriverSteps.until(Effect.sync(server.open), (open) => open === 0)
    assert.strictEqual(server.open(), 0)
    return said
  }).pipe(Effect.scoped)

/** What a program is told where its session is told that. */
const expectedOf = (start: Start, does: string, told: string): string =>
  // The second answer comes between the requests of a consumer, whose next one has none.
  start === "consumer" && does === "answers twice"
    ? "Unreachable"
    : told.endsWith("NotKafka")
    ? "NotKafka"
    : told.endsWith(": 35")
    ? "UnsupportedByBroker"
    : "Unreachable"

/** Tells of its topic well, so that a consumer comes as far as a producer does. */
const withTopic = (answer: (asked: BadServer.Asked) => Buffer | null) => (asked: BadServer.Asked) =>
  asked.key === metadataKey ? BadServer.metadata(asked, "input") : answer(asked)

const metadataKey = 3

/** The versions of Kafka 2.4, before KIP-360 and KIP-447 were whole. */
const kafka24 = [
  ...[[0, 8], [1, 11], [2, 5], [3, 9], [8, 8], [9, 6], [10, 3], [11, 6], [12, 4], [13, 4]] as const,
  ...[[14, 4], [17, 1], [18, 3], [22, 2], [24, 1], [25, 1], [26, 1], [28, 2], [36, 1]] as const
]

describe("a start on a server that is no good broker", () => {
  it.live.each(["producer", "consumer", "pipeline"] as const)(
    "each fault is told to a %s in bounded time, and nothing is left open",
    (start) =>
      Effect.gen(function*() {
        const all = yield* Effect.forEach(
          rows,
          ([does, answer]) =>
            Effect.map(
              told(start, withTopic(answer)),
              ({ reason }) => [does, reason] as const
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          all,
          rows.map(([does, , told]) => [does, expectedOf(start, does, told)] as const)
        )
      }),
    30_000
  )

  it.live.each(["producer", "pipeline"] as const)(
    "a broker older than 2.5 ends a %s, which says what it lacks",
    (start) =>
      Effect.gen(function*() {
        const { message, reason } = yield* told(
          start,
          withTopic((asked) =>
            asked.key === 18
              ? BadServer.apiVersions(asked, kafka24)
              : coordinatorAt(asked, "127.0.0.1", Number(asked.socket.localPort))
          )
        )
        assert.strictEqual(reason, "UnsupportedByBroker")
        assert.include(message, "InitProducerId")
        assert.include(message, "Upgrade the broker")
      })
  )
})
