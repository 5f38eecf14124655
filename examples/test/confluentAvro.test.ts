import { assert, it } from "@effect/vitest"
import * as Topic from "@kafka-once/core/Topic"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Schema from "effect/Schema"
import * as ConfluentAvro from "../confluentAvro.ts"
import * as SchemaRegistry from "../schemaRegistry.ts"

const celsius = { name: "celsius", type: "double" as const }
const narrow = { type: "record" as const, name: "Reading", fields: [celsius] }
const wide = {
  ...narrow,
  fields: [celsius, { name: "site", type: "string" as const, default: "unknown" }]
}

const Narrow = Schema.Struct({ celsius: Schema.Finite })
const Wide = Schema.Struct({ celsius: Schema.Finite, site: Schema.NonEmptyString })

const make = Effect.gen(function*() {
  const registry = yield* SchemaRegistry.serve
  const { codec } = yield* ConfluentAvro.make(registry.url)
  return {
    registry,
    old: codec({ of: "value", avro: narrow, schema: Narrow }),
    today: codec({ of: "value", avro: wide, schema: Wide })
  }
}).pipe(Effect.provide(FetchHttpClient.layer))

const problemOf = (effect: Effect.Effect<unknown, Topic.CodecError>) =>
  Effect.map(Effect.flip(effect), ({ problem }) => problem)

it.live("what is written is a zero byte, the id of the schema, and the value in Avro", () =>
  Effect.gen(function*() {
    const { old, registry } = yield* make
    const bytes = yield* old.encode({ celsius: 21 }, "readings")
    // 21 in IEEE 754, little-endian, is what Avro makes of a double.
    assert.strictEqual(Buffer.from(bytes!).toString("hex"), "00000000010000000000003540")
    assert.deepStrictEqual(registry.requests(), ["POST /subjects/readings-value/versions"])
  }))

it.live("each schema is asked for once, also by many at the same time", () =>
  Effect.gen(function*() {
    const { old, registry, today } = yield* make
    const written = yield* Effect.forEach(
      Array.from({ length: 50 }, (_, celsius) => ({ celsius })),
      (value) => old.encode(value, "readings"),
      { concurrency: "unbounded" }
    )
    const read = yield* Effect.forEach(written, (bytes) => today.decode(bytes, "readings"), {
      concurrency: "unbounded"
    })
    assert.deepStrictEqual(
      read,
      written.map((_, celsius) => ({ celsius, site: "unknown" }))
    )
    assert.deepStrictEqual(registry.requests(), [
      "POST /subjects/readings-value/versions",
      "GET /schemas/ids/1"
    ])
  }))

it.live("versions are resolved in both directions", () =>
  Effect.gen(function*() {
    const { old, today } = yield* make
    const fromOld = yield* old.encode({ celsius: 1 }, "readings")
    const fromToday = yield* today.encode({ celsius: 2, site: "Oslo" }, "readings")
    assert.deepStrictEqual(yield* today.decode(fromOld, "r"), { celsius: 1, site: "unknown" })
    assert.deepStrictEqual(yield* old.decode(fromToday, "r"), { celsius: 2 })
  }))

it.live("bytes that are not what they should be are typed failures that say why", () =>
  Effect.gen(function*() {
    const { today } = yield* make
    const good = yield* today.encode({ celsius: 1, site: "Oslo" }, "readings")
    const cases: ReadonlyArray<readonly [bytes: Uint8Array | null, problem: string]> = [
      [null, "is missing"],
      [Uint8Array.of(), "is not in the wire format of a schema registry"],
      [Uint8Array.of(0, 0, 0, 0), "is not in the wire format of a schema registry"],
      [Uint8Array.of(1, 0, 0, 0, 1, 0), "is not in the wire format of a schema registry"],
      [Uint8Array.of(0, 0, 0, 3, 231), "names schema 999, which the registry does not know"],
      [good!.slice(0, -1), "does not read as schema 1"],
      [Buffer.concat([good!, Buffer.of(0)]), "does not read as schema 1"]
    ]
    for (const [bytes, problem] of cases) {
      assert.strictEqual(yield* problemOf(today.decode(bytes, "readings")), problem)
    }
    assert.strictEqual(
      yield* problemOf(today.encode({ celsius: 1, site: "" }, "readings")),
      "is not what the schema says"
    )
  }))

it.live("a registry that is being restarted is waited for: that is no fault of the record", () =>
  Effect.gen(function*() {
    const { old, registry } = yield* make
    const bytes = yield* old.encode({ celsius: 21 }, "readings")
    registry.setDown(true)
    const asked = () => registry.requests().filter((line) => line.startsWith("GET")).length
    const reading = yield* Effect.forkChild(old.decode(bytes, "readings"))
    while (asked() < 3) yield* Effect.sleep("20 millis")
    assert.isUndefined(reading.pollUnsafe())
    registry.setDown(false)
    assert.deepStrictEqual(yield* Fiber.join(reading), { celsius: 21 })
  }))

it.live("a tombstone is a value where the codec is nullable", () =>
  Effect.gen(function*() {
    const { old, registry } = yield* make
    const codec = Topic.nullable(old)
    assert.isNull(yield* codec.encode(null, "readings"))
    assert.isNull(yield* codec.decode(null, "readings"))
    assert.deepStrictEqual(registry.requests(), [])
  }))
