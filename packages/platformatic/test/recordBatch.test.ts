import { assert, describe, it } from "@effect/vitest"
import type { EncodedRecord } from "@kafka-once/core/KafkaDriver"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as RecordBatch from "../src/internal/recordBatch.ts"

const actor = { transactionalId: "id", producerId: 2n ** 40n, epoch: 32_000 }

const record = (fields: Partial<EncodedRecord>): EncodedRecord => ({
  key: null,
  value: Buffer.from("value"),
  headers: [],
  timestamp: 1_700_000_000_000n,
  ...fields
})

/** Encodes, and reads it back with a codec that shares no code with the driver. */
const through = Effect.fnUntraced(function*(
  records: ReadonlyArray<EncodedRecord>,
  compression: "none" | "gzip" = "none"
) {
  const bytes = RecordBatch.encode(actor, 2_147_483_647, records, compression)
  const [batch, ...more] = yield* ProtocolClient.readBatches(bytes)
  assert(batch !== undefined && more.length === 0)
  return batch
})

describe("a record batch", () => {
  it.effect.each(["none", "gzip"] as const)(
    "is read as it was given, compressed with %s",
    (codec) =>
      Effect.gen(function*() {
        const bytes = new Uint8Array([0, 255, 128])
        const records = [
          record({ key: bytes, value: new Uint8Array(0) }),
          record({ key: new Uint8Array(0), value: null }),
          record({ headers: [["a", bytes], ["a", new Uint8Array(0)], ["é", bytes]] }),
          record({ value: new Uint8Array(100_000).fill(7) })
        ]
        const batch = yield* through(records, codec)
        assert.deepStrictEqual(
          batch.records.map(({ headers, key, timestamp, value }) => ({
            key: key === null ? null : new Uint8Array(key),
            value: value === null ? null : new Uint8Array(value),
            headers: headers.map(({ key, value }) => [key, new Uint8Array(value ?? [])]),
            timestamp
          })),
          records.map(({ value, ...rest }) => ({
            ...rest,
            value: value === null ? null : new Uint8Array(value)
          })) as never
        )
        assert.deepInclude(batch, {
          producerId: actor.producerId,
          producerEpoch: actor.epoch,
          baseSequence: 2_147_483_647,
          recordCount: records.length,
          isTransactional: true,
          isControl: false,
          compression: codec
        })
      })
  )

  it.effect.each([
    0n,
    1n,
    63n,
    -64n,
    2n ** 31n - 1n,
    2n ** 31n,
    -(2n ** 31n),
    -(2n ** 31n) - 1n,
    2n ** 32n,
    2n ** 39n,
    -(2n ** 39n)
  ])("keeps a timestamp that is %s ms from the first", (delta) =>
    Effect.gen(function*() {
      const timestamp = 1_700_000_000_000n
      const { maxTimestamp, records } = yield* through([
        record({ timestamp }),
        record({ timestamp: timestamp + delta })
      ])
      assert.strictEqual(records[1]?.timestamp, timestamp + delta)
      assert.strictEqual(maxTimestamp, delta > 0n ? timestamp + delta : timestamp)
    }))
})
