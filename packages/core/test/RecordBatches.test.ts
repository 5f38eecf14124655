import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { DriverError, Failure } from "../src/DriverError.ts"
import * as RecordBatches from "../src/RecordBatches.ts"

interface Written {
  readonly timestampDelta?: number
  readonly key?: Uint8Array | null
  readonly value?: Uint8Array | null
  readonly headers?: ReadonlyArray<readonly [string, Uint8Array | null]>
}

const varint = (value: number): ReadonlyArray<number> => {
  const bytes: Array<number> = []
  let left = value >= 0 ? value * 2 : -value * 2 - 1
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) + 0x80)
  return [...bytes, left]
}

const withLength = (bytes: Uint8Array | null | undefined): ReadonlyArray<number> =>
  bytes === null || bytes === undefined ? varint(-1) : [...varint(bytes.length), ...bytes]

const recordOf = (
  { headers = [], key, timestampDelta = 0, value }: Written,
  offsetDelta: number
): ReadonlyArray<number> => {
  const body = [
    0,
    ...varint(timestampDelta),
    ...varint(offsetDelta),
    ...withLength(key),
    ...withLength(value),
    ...varint(headers.length),
    ...headers.flatMap((
      [name, content]
    ) => [...withLength(Buffer.from(name)), ...withLength(content)])
  ]
  return [...varint(body.length), ...body]
}

const batchOf = (
  records: ReadonlyArray<Written>,
  { attributes = 0, baseOffset = 0n, count = records.length, magic = 2, pack = Buffer.from }: {
    readonly attributes?: number
    readonly baseOffset?: bigint
    readonly count?: number
    readonly magic?: number
    readonly pack?: (bytes: ReadonlyArray<number>) => Buffer
  } = {}
): Buffer => {
  const body = pack(records.flatMap(recordOf))
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(baseOffset, 0)
  header.writeInt32BE(49 + body.length, 8)
  header.writeInt8(magic, 16)
  header.writeInt16BE(attributes, 21)
  header.writeInt32BE(count - 1, 23)
  header.writeBigInt64BE(1_000n, 27)
  header.writeBigInt64BE(9_000n, 35)
  header.writeBigInt64BE(7n, 43)
  header.writeInt32BE(count, 57)
  return Buffer.concat([header, body])
}

const never: RecordBatches.Decompress<Buffer> = () => Effect.die("nothing is compressed")

const read = (bytes: Buffer, decompress = never) => RecordBatches.read(bytes, decompress)

const bytes = (text: string): Buffer => Buffer.from(text)

it.effect("a record is read as it was written", () =>
  Effect.gen(function*() {
    const [batch, ...others] = read(batchOf([
      {
        key: bytes("key"),
        value: bytes("value"),
        headers: [["b", bytes("1")], ["a", null], ["b", bytes("2")]]
      },
      { timestampDelta: -300, key: null, value: null },
      { timestampDelta: 5_000_000_000, key: bytes(""), value: Buffer.alloc(300, 1) }
    ], { baseOffset: 40n }))
    assert.deepStrictEqual([others.length, batch?.count, batch?.control], [0, 3, null])
    assert.deepStrictEqual([batch?.baseOffset, batch?.lastOffset], [40n, 42n])
    assert.deepStrictEqual([batch?.producerId, batch?.isTransactional], [7n, false])
    assert.deepStrictEqual(yield* batch!.records, [
      {
        offset: 40n,
        timestamp: 1_000n,
        key: bytes("key"),
        value: bytes("value"),
        headers: [["b", bytes("1")], ["a", null], ["b", bytes("2")]]
      },
      { offset: 41n, timestamp: 700n, key: null, value: null, headers: [] },
      {
        offset: 42n,
        timestamp: 5_000_001_000n,
        key: bytes(""),
        value: Buffer.alloc(300, 1),
        headers: []
      }
    ])
  }))

it.effect("the time of a broker that sets it is that of every record", () =>
  Effect.gen(function*() {
    const [batch] = read(batchOf([{}, { timestampDelta: 3 }], { attributes: 0x08 }))
    const records = yield* batch!.records
    assert.deepStrictEqual(records.map(({ timestamp }) => timestamp), [9_000n, 9_000n])
  }))

it("markers are told by their type, and by their producer", () => {
  const marker = (type: number) =>
    batchOf([{ key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6) }], { attributes: 0x30 })
  const batches = read(Buffer.concat([marker(0), marker(1), marker(5)]))
  assert.deepStrictEqual(batches.map(({ control }) => control), ["abort", "commit", "other"])
  assert.isTrue(batches.every(({ isTransactional }) => isTransactional))
})

it("a batch that is cut off is left out, wherever it is cut", () => {
  const [first, second] = [batchOf([{ value: bytes("1") }]), batchOf([{ value: bytes("2") }])]
  const both = Buffer.concat([first, second])
  for (let end = first.length; end < both.length; end++) {
    assert.strictEqual(read(both.subarray(0, end)).length, 1, `${end}`)
  }
  assert.strictEqual(read(both).length, 2)
})

it.effect("records that end too early are told when they are asked for", () =>
  Effect.gen(function*() {
    // One more than there are: the batch may be read, its records may not.
    for (const count of [2, 2 ** 31 - 1]) {
      const [batch] = read(batchOf([{ value: bytes("1") }], { count, baseOffset: 5n }))
      const error = yield* Effect.flip(batch!.records)
      assert.strictEqual(error.failure._tag, "NotKafka")
      assert.include(error.detail, "offset 5")
    }
    const whole = batchOf([{ value: Buffer.alloc(200) }])
    // The length of its value is larger than what is left.
    whole.writeUInt8(0xfe, whole.indexOf(Buffer.from(withLength(Buffer.alloc(200)))))
    const [batch] = read(whole)
    assert.strictEqual((yield* Effect.flip(batch!.records)).failure._tag, "NotKafka")
  }))

it.effect("the format of before Kafka 0.11 is refused when its records are asked for", () =>
  Effect.gen(function*() {
    const [batch] = read(batchOf([{}], { magic: 1, baseOffset: 9n }))
    assert.deepStrictEqual([batch?.lastOffset, batch?.producerId], [9n, -1n])
    assert.strictEqual((yield* Effect.flip(batch!.records)).failure._tag, "Refused")
  }))

it.effect("what is compressed is handed over with its type, and only when it is asked for", () =>
  Effect.gen(function*() {
    const types: Array<number> = []
    const flip: RecordBatches.Decompress<Buffer> = (type, packed) =>
      Effect.sync(() => {
        types.push(type)
        return Buffer.from(packed).reverse()
      })
    const [batch] = read(
      batchOf([{ value: bytes("1") }], {
        attributes: 3,
        pack: (all) => Buffer.from(all).reverse()
      }),
      flip
    )
    assert.deepStrictEqual(types, [])
    const [record] = yield* batch!.records
    assert.deepStrictEqual(record?.value, bytes("1"))
    assert.deepStrictEqual(types, [3])
    const failure = new DriverError({
      request: "Fetch",
      failure: Failure.Refused(),
      detail: "no such codec"
    })
    const [other] = read(batchOf([{}], { attributes: 3 }), () => Effect.fail(failure))
    assert.strictEqual(yield* Effect.flip(other!.records), failure)
  }))
