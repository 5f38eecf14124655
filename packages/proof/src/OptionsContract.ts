/**
 * Options that cannot work fail a driver's layer, before anything is connected.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectionOptions, InvalidOption } from "@kafka-once/core/ConnectionOptions"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * A driver's layer, with options that may be none: they often come from JSON or from untyped code.
 *
 * @category models
 * @since 0.1.0
 */
export type LayerOf<Options> = (
  options: Options
) => Layer.Layer<KafkaDriver, { readonly message: string; readonly reason: unknown }>

/**
 * Options, the name of the one that is refused, and a part of what is said of it.
 *
 * @category models
 * @since 0.1.0
 */
export type Row = readonly [options: object, option: string, text: string]

const brokers = ["127.0.0.1:9092"]
const plain = { mechanism: "plain", username: "app", password: Redacted.make("hidden") } as const
const bearer = { mechanism: "oauthbearer", token: Effect.succeed(Redacted.make("hidden")) } as const

const common: ReadonlyArray<Row> = [
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
]

/**
 * Runs the suite over a driver; `own` are options that it alone has, beside working brokers.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = <Options extends ConnectionOptions>(
  name: string,
  layerOf: LayerOf<Options>,
  own: ReadonlyArray<Row> = []
): void => {
  // What the types of the options forbid is just what is tried here.
  const build = (options: object) =>
    Effect.scoped(
      Effect.provide(Effect.map(KafkaDriver, ({ name }) => name), layerOf(options as Options))
    )
  describe(`the options of ${name}`, () => {
    it.effect.each([
      ...common,
      ...own.map(([options, option, text]): Row => [{ brokers, ...options }, option, text])
    ])(
      "those that cannot work fail the layer: %j",
      ([options, option, text]) =>
        Effect.gen(function*() {
          const { message, reason } = yield* Effect.flip(build(options))
          assert(reason instanceof InvalidOption)
          assert.strictEqual(reason.option, option)
          assert.strictEqual(reason.recovery, "reconfigure")
          assert.include(message, text)
          assert.notInclude(message, "hidden")
        })
    )

    it.effect("PLAIN is allowed with TLS, and without it where it is asked for", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* build({ brokers, sasl: plain, tls: true }), name)
        assert.strictEqual(yield* build({ brokers, sasl: plain, insecure: true }), name)
      }))
  })
}
