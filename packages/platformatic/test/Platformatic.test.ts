import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Platformatic from "../src/Platformatic.ts"

const brokers = ["127.0.0.1:9092"]
const plain = { mechanism: "plain", username: "app", password: Redacted.make("hidden") } as const
const bearer = { mechanism: "oauthbearer", token: Effect.succeed(Redacted.make("hidden")) } as const

const build = (options: Platformatic.Options) =>
  Effect.scoped(
    Effect.provide(Effect.map(KafkaDriver, ({ name }) => name), Platformatic.layer(options))
  )

describe("Platformatic", () => {
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
      [{ brokers, connectionTimeout: Infinity }, "connectionTimeout", "Infinity"],
      [{ brokers, connectionsPerBroker: 0 }, "connectionsPerBroker", "is 0"],
      [{ brokers, connectionsPerBroker: 1.5 }, "connectionsPerBroker", "is 1.5"],
      [{ brokers, compression: "brotli" }, "compression", "none, gzip, snappy, lz4, zstd"],
      [{ brokers, compression: "toString" }, "compression", '"toString"']
    ] as unknown as ReadonlyArray<readonly [Platformatic.Options, string, string]>
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
      assert.strictEqual(yield* build({ brokers, sasl: plain, tls: true }), "platformatic")
      assert.strictEqual(yield* build({ brokers, sasl: plain, insecure: true }), "platformatic")
    }))
})
