import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { changedIn, firstChanged } from "../src/internal/pinnedFiles.ts"
import * as KafkaJs from "../src/KafkaJs.ts"

const brokers = ["127.0.0.1:9092"]
const plain = { mechanism: "plain", username: "app", password: Redacted.make("hidden") } as const
const bearer = { mechanism: "oauthbearer", token: Effect.succeed(Redacted.make("hidden")) } as const

const build = (options: KafkaJs.Options) =>
  Effect.scoped(Effect.provide(Effect.map(KafkaDriver, ({ name }) => name), KafkaJs.layer(options)))

describe("KafkaJs", () => {
  it.effect.each(
    [
      [{ brokers: [] }, "brokers", "is empty"],
      [{ brokers: ["localhost"] }, "brokers", '"localhost"'],
      [{ brokers: ["localhost:0"] }, "brokers", '"localhost:0"'],
      [{ brokers: ["localhost:70000"] }, "brokers", '"localhost:70000"'],
      [{ brokers: ["::1:9092"] }, "brokers", '"[IPv6]:port"'],
      [{ brokers: ["[::1]"] }, "brokers", '"[::1]"'],
      [{ brokers: ["[localhost]:9092"] }, "brokers", '"[localhost]:9092"'],
      [{ brokers: ["kafka://a:9092"] }, "brokers", '"kafka://a:9092"'],
      [{ brokers, sasl: plain }, "sasl", "PLAIN without TLS"],
      [{ brokers, sasl: bearer }, "sasl", "OAUTHBEARER without TLS"],
      [{ brokers, sasl: { ...bearer, token: "t" }, tls: true }, "sasl", "no Effect"],
      [{ brokers: "localhost:9092" }, "brokers", "array"],
      [{ brokers, sasl: { ...plain, mechanism: "gssapi" } }, "sasl", '"gssapi"'],
      [{ brokers, connectionTimeout: "banana" }, "connectionTimeout", "banana"],
      [{ brokers, requestTimeout: -5 }, "requestTimeout", "-5"],
      [{ brokers, connectionTimeout: Infinity }, "connectionTimeout", "Infinity"]
    ] as unknown as ReadonlyArray<readonly [KafkaJs.Options, string, string]>
  )(
    "options that cannot work fail the layer: %j",
    ([options, option, text]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(build(options))
        assert(error.reason._tag === "InvalidOption")
        assert.strictEqual(error.reason.option, option)
        assert.strictEqual(error.reason.recovery, "reconfigure")
        assert.include(error.message, text)
        assert.notInclude(error.message, "hidden")
      })
  )

  it.effect("PLAIN is allowed with TLS, and without it where it is asked for", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* build({ brokers, sasl: plain, tls: true }), "kafkajs")
      assert.strictEqual(yield* build({ brokers, sasl: plain, insecure: true }), "kafkajs")
    }))
})

describe("the files of kafkajs", () => {
  it.effect("a kafkajs that was patched, or is not there, is refused by the file's name", () =>
    Effect.gen(function*() {
      assert.isNull(yield* firstChanged)
      assert.strictEqual(yield* changedIn(null), "package.json")
      const own = dirname(createRequire(import.meta.url).resolve("kafkajs/package.json"))
      const copy = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "kafka-once-"))),
        (directory) => Effect.promise(() => rm(directory, { recursive: true }))
      )
      assert.strictEqual(yield* changedIn(copy), "src/broker/index.js")
      yield* Effect.promise(() => cp(join(own, "src"), join(copy, "src"), { recursive: true }))
      assert.isNull(yield* changedIn(copy))
      const patched = "src/producer/sendMessages.js"
      yield* Effect.promise(() => writeFile(join(copy, patched), "module.exports = () => {}"))
      assert.strictEqual(yield* changedIn(copy), patched)
    }))
})
