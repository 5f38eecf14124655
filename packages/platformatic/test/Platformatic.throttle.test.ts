/** Quotas: what a broker would not read yet is held back, and nothing seems unanswered. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import { told } from "@kafka-once/proof/DriverSteps"
import { make as makeBench, send } from "@kafka-once/proof/ProducerBench"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import { Writer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Link from "../src/internal/link.ts"
import type { Message } from "../src/internal/message.ts"
import type { Place } from "../src/internal/throttle.ts"
import * as Platformatic from "../src/Platformatic.ts"
import * as BadServer from "./badServer.ts"
import { settings } from "./linkSettings.ts"

/** A request that is nothing but its header. */
const ping = (throttle: Place): Message<number> => ({
  request: "Metadata",
  key: 3,
  versions: [0, 0],
  flexibleFrom: 1,
  throttle,
  write: () => Writer.create(),
  read: (reader) => reader.readInt32()
})

const throttleMillis = 400

/** A server that throttles its first answer, and notes when it was asked. */
const throttling = (place: Place) =>
  Effect.gen(function*() {
    const askedAt: Array<number> = []
    const server = yield* BadServer.listen((asked) => {
      if (asked.key === 18) return BadServer.apiVersions(asked)
      askedAt.push(performance.now())
      const millis = askedAt.length === 1 ? throttleMillis : 0
      const [first, last] = place === "first" ? [millis, 0] : [0, millis]
      return BadServer.framed(asked, Writer.create().appendInt32(first).appendInt32(last))
    })
    const [host = "", port = ""] = server.address.split(":")
    const link = yield* Effect.acquireRelease(
      Link.open(settings, { host, port: Number(port) }, () => {}),
      (link) => link.close
    )
    return { link, askedAt }
  })

const counted = Effect.map(
  Metric.snapshot,
  (all) =>
    ["kafka_once.throttled", "kafka_once.throttled.duration"].map((id) => {
      const found = all.find((one) => one.id === id)
      return found?.type === "Counter" ? Number(found.state.count) : 0
    })
)

describe("a connection that is throttled", () => {
  it.live.each(["first", "last"] as const)(
    "writes nothing for as long as the broker says, %s in its answer, and counts it",
    (place) =>
      Effect.gen(function*() {
        const { askedAt, link } = yield* throttling(place)
        const [before = 0, beforeMillis = 0] = yield* counted
        yield* link.request(ping(place), 1_000)
        const [after = 0, afterMillis = 0] = yield* counted
        assert.deepStrictEqual([after - before, afterMillis - beforeMillis], [1, throttleMillis])
        const others = [link.request(ping(place), 1_000), link.request(ping(place), 1_000)]
        const both = yield* Effect.forkChild(Effect.all(others, { concurrency: 2 }), {
          startImmediately: true
        })
        assert.strictEqual(link.load(), 2, "what is held back is load of the connection")
        yield* Fiber.join(both)
        const [first = 0, ...rest] = askedAt
        assert.strictEqual(rest.length, 2)
        // Timers may be a millisecond early.
        for (const at of rest) assert.isAtLeast(at - first, throttleMillis - 5)
        assert.strictEqual(link.load(), 0)
      }).pipe(Effect.scoped)
  )

  it.live("does not send what cannot be written in time, and stays open", () =>
    Effect.gen(function*() {
      const { askedAt, link } = yield* throttling("first")
      yield* link.request(ping("first"), 1_000)
      const failure = yield* Effect.flip(link.request(ping("first"), 50))
      assert.strictEqual(told(failure), "Metadata: NotSent")
      assert.include(failure.detail, "because of a quota")
      assert.isTrue(link.isOpen())
      assert.strictEqual(askedAt.length, 1)
      yield* link.request(ping("first"), 1_000)
      assert.strictEqual(askedAt.length, 2)
    }).pipe(Effect.scoped))
})

const clientId = "greedy"
const bytesPerSecond = 20_000
const filler = "x".repeat(40_000)

layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
  "a client with a quota",
  (it) => {
    it.effect(
      "goes on within it, and no request of it is without an answer",
      () =>
        Effect.gen(function*() {
          const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
          const proxy = yield* ProxiedKafka.Proxy
          const [host = "", port = ""] = (bootstrapServers[0] ?? "").split(":")
          const client = yield* ProtocolClient.connect(host, Number(port))
          const answer = yield* client.request("AlterClientQuotas", 1, {
            entries: [{
              entity: [{ entityType: "client-id", entityName: clientId }],
              ops: [{ key: "producer_byte_rate", value: bytesPerSecond, remove: false }]
            }],
            validateOnly: false
          })
          assert.include(JSON.stringify(answer.entries), '"errorCode":0')
          const bench = yield* makeBench((brokers) =>
            Platformatic.layer({ brokers, clientId, connectionsPerBroker: 1 })
          )
          const { topic } = bench
          const values = Array.from({ length: 7 }, (_, i) => `${i}-${filler}`)
          yield* Effect.gen(function*() {
            const producer = yield* TransactionalProducer.make({
              ...bench.options,
              // Shorter than the broker's waits: what it does not read would seem unanswered.
              requestTimeout: "1 second",
              deliveryTimeout: "20 seconds",
              commitTimeout: "20 seconds",
              transactionTimeout: "60 seconds"
            })
            yield* Effect.forEach(
              values,
              (value) => send(topic, value).pipe(producer.withTransaction())
            )
          }).pipe(Effect.scoped, Effect.provide(bench.driver))
          const [throttled = 0, millis = 0] = yield* counted
          assert.isAtLeast(throttled, 1, "the broker has asked to wait")
          yield* Effect.log(`throttled ${throttled} times, ${millis} ms`)
          const entries = (yield* proxy.log.entries).filter((one) => one.clientId === clientId)
          assert.deepStrictEqual(entries.filter(({ answer }) => answer?.delivered !== true), [])
          assert.strictEqual(new Set(entries.map(({ connection }) => connection)).size, 1)
          assert.deepStrictEqual([...yield* bench.visible].sort(), values)
        }).pipe(Effect.scoped),
      120_000
    )
  }
)
