import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as Ports from "../src/internal/ports.ts"
import * as ProtocolClient from "../src/internal/protocol/protocolClient.ts"
import * as SharedKafka from "../src/SharedKafka.ts"

const variable = "KAFKA_ONCE_SHARED_KAFKA"

/** Another environment while the scope is open; `undefined` takes a variable away. */
const environment = (changes: Record<string, string | undefined>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const saved = process.env
      const changed = { ...saved, ...changes }
      process.env = Object.fromEntries(
        Object.entries(changed).filter(([, value]) => value !== undefined)
      )
      return saved
    }),
    (saved) =>
      Effect.sync(() => {
        process.env = saved
      })
  )

const build = Effect.map(
  Layer.build(Layer.fresh(SharedKafka.layer)),
  (context) =>
    context.mapUnsafe.get(SharedKafka.SharedKafka.key) as SharedKafka.SharedKafka["Service"]
)

const topics = Effect.fnUntraced(function*(address: string) {
  const [host = "", port] = address.split(":")
  const client = yield* ProtocolClient.connect(host, Number(port))
  const metadata = yield* client.request("Metadata", 12, { topics: null })
  return metadata.topics?.map((topic) => topic.name) ?? []
})

describe("the cluster of a run", () => {
  it.effect("KAFKA_BROKERS with nobody there is refused by name", () =>
    Effect.gen(function*() {
      const [port = 0] = yield* Ports.choose(1)
      yield* environment({ [variable]: undefined, KAFKA_BROKERS: `127.0.0.1:${port}` })
      const { reason } = yield* Effect.flip(build)
      assert.strictEqual(reason._tag, "RequestRefused")
      assert.include(reason.message, `KAFKA_BROKERS "127.0.0.1:${port}"`)
    }))

  it.effect("the global setup's broker is everybody's, and each worker has its own proxy", () =>
    Effect.gen(function*() {
      assert.isDefined(process.env[variable], "this project names SharedKafkaSetup")
      const one = yield* build
      const other = yield* build
      assert.deepStrictEqual(one.bootstrapServers, other.bootstrapServers)
      yield* one.createTopic(`shared-${process.pid}`)
      assert.include(yield* topics(other.bootstrapServers[0] ?? ""), `shared-${process.pid}`)
      assert.strictEqual(one.proxied.length, 1)
      yield* environment({ VITEST_POOL_ID: "3" })
      assert.notDeepEqual((yield* build).proxied, one.proxied)
    }))

  it.effect("KAFKA_BROKERS is used as it is", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.make()
      const [address = ""] = kafka.bootstrapServers
      yield* environment({ [variable]: undefined, KAFKA_BROKERS: ` ${address}` })
      const shared = yield* build
      assert.deepStrictEqual(shared.bootstrapServers, [address])
      assert.deepStrictEqual(shared.proxied, [])
      yield* shared.createTopic("made-by-the-run")
      assert.include(yield* topics(address), "made-by-the-run")
    }))

  it.effect("with neither, a suite has a broker of its own", () =>
    Effect.gen(function*() {
      const shared = yield* build
      yield* environment({ [variable]: undefined, KAFKA_BROKERS: undefined })
      const own = yield* build
      assert.notDeepEqual(own.bootstrapServers, shared.bootstrapServers)
      assert.sameMembers(yield* topics(own.bootstrapServers[0] ?? ""), [
        "__consumer_offsets",
        "__transaction_state"
      ])
    }))
})
