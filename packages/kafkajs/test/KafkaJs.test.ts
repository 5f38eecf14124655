import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { changedIn, firstChanged } from "../src/internal/pinnedFiles.ts"
import * as KafkaJs from "../src/KafkaJs.ts"

const brokers = ["127.0.0.1:9092"]
const plain = { mechanism: "plain", username: "app", password: Redacted.make("hidden") } as const

const build = (options: KafkaJs.Options) =>
  Effect.scoped(Effect.provide(Effect.map(KafkaDriver, ({ name }) => name), KafkaJs.layer(options)))

describe("KafkaJs", () => {
  it.effect.each(
    [
      [{ brokers: [] }, "brokers", "is empty"],
      [{ brokers: ["localhost"] }, "brokers", '"localhost"'],
      [{ brokers: ["localhost:0"] }, "brokers", '"localhost:0"'],
      [{ brokers: ["localhost:70000"] }, "brokers", '"localhost:70000"'],
      [{ brokers: ["[::1]:9092"] }, "brokers", '"[::1]:9092"'],
      [{ brokers: ["kafka://a:9092"] }, "brokers", '"kafka://a:9092"'],
      [{ brokers, sasl: plain }, "sasl", "without TLS"],
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

  it.effect("options are read from the configuration", () => {
    const fromConfig = KafkaJs.layerConfig({
      brokers: Config.Array(Schema.String, "BROKERS"),
      sasl: {
        mechanism: Config.Literals(["plain", "scram-sha-256", "scram-sha-512"], "MECHANISM"),
        username: Config.String("USERNAME"),
        password: Config.Redacted("PASSWORD")
      },
      connectionTimeout: Config.Duration("TIMEOUT")
    })
    const from = (env: Record<string, string>) =>
      fromConfig.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
    const env = {
      BROKERS: "a:1,b:2",
      MECHANISM: "scram-sha-512",
      USERNAME: "app",
      PASSWORD: "hidden",
      TIMEOUT: "2 seconds"
    }
    return Effect.gen(function*() {
      const { capabilities, name } = yield* KafkaDriver.pipe(Effect.provide(from(env)))
      assert.strictEqual(name, "kafkajs")
      assert.isFalse(Object.values(capabilities).some((has) => has === true))
      const missing = yield* Effect.flip(KafkaDriver.pipe(Effect.provide(from({}))))
      assert.strictEqual(missing._tag, "ConfigError")
    })
  })
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
