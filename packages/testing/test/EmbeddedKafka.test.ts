import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { dirname } from "node:path"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as ProtocolClient from "../src/internal/protocol/protocolClient.ts"

const connect = (address: string) => {
  const [host = "", port] = address.split(":")
  return ProtocolClient.connect(host, Number(port))
}

const directoryOf = ({ nodes }: EmbeddedKafka.EmbeddedKafka["Service"]): string =>
  dirname(nodes[0]?.logFile ?? "")

/** One attempt and no retry: what a client meets that is faster than the coordinator. */
const findTransactionCoordinator = Effect.fnUntraced(function*(address: string) {
  const client = yield* connect(address)
  const answer = yield* client.request("FindCoordinator", 4, {
    keyType: 1,
    coordinatorKeys: ["any"]
  })
  const [coordinator] = answer.coordinators ?? []
  assert.strictEqual(coordinator?.errorCode, 0)
  return `${coordinator?.host}:${coordinator?.port}`
})

layer(EmbeddedKafka.layer({ proxiedPorts: [20_001, 20_002] }), { timeout: "3 minutes" })(
  "a running broker",
  (it) => {
    it.effect("a topic that exists already is refused, and an illegal one, by name", () =>
      Effect.gen(function*() {
        const { createTopic } = yield* EmbeddedKafka.EmbeddedKafka
        yield* createTopic("twice")
        const twice = yield* Effect.flip(createTopic("twice"))
        assert.include(twice.message, `creating the topic "twice"`)
        assert.include(twice.message, "TopicExistsException")
        const illegal = yield* Effect.flip(createTopic("a/b"))
        assert.include(illegal.message, "InvalidTopicException")
        const none = yield* Effect.flip(createTopic("none", { partitions: 0 }))
        assert.include(none.message, "InvalidPartitionsException")
      }))

    it.effect("the transaction coordinator answers the first request", () =>
      Effect.gen(function*() {
        const { bootstrapServers: [address = ""] } = yield* EmbeddedKafka.EmbeddedKafka
        assert.strictEqual(yield* findTransactionCoordinator(address), address)
      }))

    it.effect("a proxied listener advertises its proxy", () =>
      Effect.gen(function*() {
        const { proxied } = yield* EmbeddedKafka.EmbeddedKafka
        assert.deepStrictEqual(proxied.map((one) => one.advertised), [
          "127.0.0.1:20001",
          "127.0.0.1:20002"
        ])
        for (const { advertised, upstream } of proxied) {
          assert.strictEqual(yield* findTransactionCoordinator(upstream), advertised)
        }
      }))

    it.effect("a created topic has its partitions and settings at once", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* kafka.createTopic("wide", {
          partitions: 7,
          config: { "min.insync.replicas": "1", "cleanup.policy": "compact" }
        })
        const client = yield* connect(kafka.bootstrapServers[0] ?? "")
        const metadata = yield* client.request("Metadata", 12, {
          topics: [{ name: "wide" }],
          allowAutoTopicCreation: false
        })
        assert.strictEqual(metadata.topics[0]?.partitions.length, 7)
        assert.isTrue(metadata.topics[0]?.partitions.every((one) => one.errorCode === 0))
      }))
  }
)

describe("the life of a broker", () => {
  it.effect("stopped, killed and started again, it keeps its port and its topics", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.make()
      const [address = ""] = kafka.bootstrapServers
      yield* kafka.createTopic("kept")
      for (const end of [kafka.stop, kafka.kill]) {
        yield* end
        yield* Effect.flip(connect(address))
        const refused = yield* Effect.flip(kafka.createTopic("other"))
        assert.include(refused.message, "the broker is stopped")
        yield* kafka.start
        assert.strictEqual(yield* findTransactionCoordinator(address), address)
        const again = yield* Effect.flip(kafka.createTopic("kept"))
        assert.include(again.message, "TopicExistsException")
      }
      yield* kafka.restart
      assert.strictEqual(yield* findTransactionCoordinator(address), address)
    }))

  it.live("a frozen broker answers nothing until it is thawed", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.make()
      const [host = "", port] = kafka.bootstrapServers[0]?.split(":") ?? []
      const options = { requestTimeout: "300 millis" } as const
      const client = yield* ProtocolClient.connect(host, Number(port), options)
      const request = client.request("FindCoordinator", 4, {
        keyType: 1,
        coordinatorKeys: ["any"]
      })
      yield* kafka.freeze
      const silent = yield* Effect.flip(request)
      assert.include(silent.message, "no answer")
      yield* kafka.thaw
      assert.strictEqual((yield* request).coordinators?.length, 1)
    }))

  it.live("one that crashed by itself can be started again", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.make()
      const [address = ""] = kafka.bootstrapServers
      const found = execFileSync("pgrep", ["-f", directoryOf(kafka)], { encoding: "utf8" })
      process.kill(Number(found), "SIGKILL")
      // Until this process has been told of the end, there is nothing to start.
      yield* Effect.andThen(kafka.start, findTransactionCoordinator(address)).pipe(
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 100 })))
      )
    }))

  it.effect("when the scope closes the process is gone and the directory removed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const kafka = yield* Scope.provide(EmbeddedKafka.make(), scope)
      const directory = directoryOf(kafka)
      assert.isTrue(existsSync(directory))
      yield* Scope.close(scope, Exit.fail("a failed test"))
      assert.isFalse(existsSync(directory))
      yield* Effect.flip(connect(kafka.bootstrapServers[0] ?? ""))
    }))
})
