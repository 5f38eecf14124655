import { assert, describe, it } from "@effect/vitest"
import * as Topic from "@kafka-once/core/Topic"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Order = Schema.Struct({
  id: Schema.String,
  lines: Schema.Array(Schema.Struct({ amount: Schema.Finite }))
})
const orders = Topic.make({ name: "orders", key: Topic.text, value: Topic.json(Order) })
const bytes = (text: string) => new TextEncoder().encode(text)
const order = { id: "42", lines: [{ amount: 2.5 }] }

describe("a topic's codecs", () => {
  it.effect("write what they read", () =>
    Effect.gen(function*() {
      const record = yield* Topic.record(orders, { key: "é", value: order })
      assert.strictEqual(record.topic, "orders")
      assert.deepStrictEqual(yield* orders.key.decode(record.key as Uint8Array, "orders"), "é")
      assert.deepEqual(yield* orders.value.decode(record.value as Uint8Array, "orders"), order)
    }))

  it.effect("without a codec keys and values are bytes", () =>
    Effect.gen(function*() {
      const raw = Topic.make({ name: "raw" })
      const record = yield* Topic.record(raw, { key: null, value: bytes("a") })
      assert.deepStrictEqual([record.key, record.value], [null, bytes("a")])
    }))

  const undecodable = [
    ["no JSON", bytes("{")],
    ["another shape", bytes('{"id":7,"lines":[]}')],
    ["no UTF-8", new Uint8Array([0xc3, 0x28])],
    ["a tombstone", null]
  ] as const
  for (const [what, value] of undecodable) {
    it.effect(`${what}: a typed failure, without the data in its message`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(orders.value.decode(value, "orders"))
        assert.strictEqual(error._tag, "CodecError")
        assert.notMatch(error.message, /\{|7/)
      }))
  }

  it.effect("a failure says where in the value it is", () =>
    Effect.gen(function*() {
      const value = bytes('{"id":"a","lines":[{"amount":"much"}]}')
      const error = yield* Effect.flip(orders.value.decode(value, "orders"))
      assert.match(error.message, /lines\.0\.amount/)
      assert.notMatch(error.message, /much/)
    }))

  it.effect("a tombstone is a value where the codec is nullable", () =>
    Effect.gen(function*() {
      const codec = Topic.nullable(Topic.json(Order))
      assert.isNull(yield* codec.decode(null, "orders"))
      assert.isNull(yield* codec.encode(null, "orders"))
    }))
})
