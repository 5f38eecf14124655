/**
 * The record batches of a partition, as a Fetch answers them and as they lie in the log: their
 * headers at once, their records when they are asked for.
 *
 * A pipeline spends most of its garbage here, one record at a time, so that a record is read with
 * as few objects as it has: itself, its two numbers, and a view for its key and its value. Clients'
 * own decoders take several times as many, and drop what the library needs: the order of headers,
 * which producer wrote a batch, control records of kinds that they do not know.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { FetchedRecord } from "./ConsumerDriver.ts"
import { DriverError, Failure } from "./DriverError.ts"
import type { EncodedBatch } from "./GroupProtocol.ts"
import { decodeUtf8 } from "./internal/utf8.ts"

/**
 * A batch as it was fetched; `records` decompresses and decodes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordBatch extends EncodedBatch {
  readonly baseOffset: bigint
}

/**
 * Decompresses the records of a batch, by the type in its attributes, which is never 0 here.
 *
 * @category models
 * @since 0.1.0
 */
export type Decompress<Bytes extends Uint8Array> = (
  type: number,
  bytes: Bytes
) => Effect.Effect<Uint8Array, DriverError>

/** Where the fields of a batch's header begin; before the length stands the base offset. */
const lengthAt = 8
const magicAt = 16
const attributesAt = 21
const lastOffsetDeltaAt = 23
const firstTimestampAt = 27
const maxTimestampAt = 35
const producerIdAt = 43
const countAt = 57
const headerBytes = 61

const compressionBits = 0x07
const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20

/**
 * Reads the headers of record batches; the last one may be cut off, and is left out then.
 *
 * **Details**
 *
 * *Failures*: none of its own. What is wrong with a batch is told by its `records`: `Refused` for
 * the format of before Kafka 0.11, `NotKafka` for records that cannot be read, and what
 * `decompress` fails with. A marker that cannot be read throws a RangeError.
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = <Bytes extends Uint8Array>(
  bytes: Bytes,
  decompress: Decompress<Bytes>
): ReadonlyArray<RecordBatch> => {
  const view = viewOf(bytes)
  const batches: Array<RecordBatch> = []
  let at = 0
  while (at + headerBytes <= bytes.length) {
    const end = at + 12 + view.getInt32(at + lengthAt)
    if (end <= at + 12 || end > bytes.length) break
    // A part of a Buffer is a Buffer, which its type does not say of every kind of array.
    batches.push(readBatch(bytes.subarray(at, end) as Bytes, decompress))
    at = end
  }
  return batches
}

const viewOf = ({ buffer, byteLength, byteOffset }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

const readBatch = <Bytes extends Uint8Array>(
  batch: Bytes,
  decompress: Decompress<Bytes>
): RecordBatch => {
  const view = viewOf(batch)
  const baseOffset = view.getBigInt64(0)
  // Message sets from before Kafka 0.11 have no producers; theirs is the offset of the message.
  if (view.getInt8(magicAt) < 2) {
    return {
      baseOffset,
      lastOffset: baseOffset,
      producerId: -1n,
      isTransactional: false,
      count: 1,
      bytes: batch.length,
      control: null,
      records: Effect.fail(tooOld)
    }
  }
  const attributes = view.getInt16(attributesAt)
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(view.getInt32(lastOffsetDeltaAt)),
    producerId: view.getBigInt64(producerIdAt),
    isTransactional: (attributes & transactionalBit) !== 0,
    count: view.getInt32(countAt),
    bytes: batch.length,
    control: (attributes & controlBit) === 0 ? null : markerOf(batch),
    records: Effect.suspend(() => {
      const type = attributes & compressionBits
      if (type === 0) return decoded(batch, batch, headerBytes)
      const compressed = batch.subarray(headerBytes) as Bytes
      return Effect.flatMap(
        decompress(type, compressed),
        (records) => decoded(batch, records, 0)
      )
    })
  }
}

const tooOld = new DriverError({
  request: "Fetch",
  failure: Failure.Refused(),
  detail: "A batch of records has the format of before Kafka 0.11"
})

/** The key of a control record is a version and a type. */
const markerOf = (batch: Uint8Array): "commit" | "abort" | "other" => {
  const cursor = cursorOf(batch, headerBytes)
  cursor.varint()
  cursor.skip(1)
  // Two deltas.
  cursor.varint()
  cursor.varint()
  const key = cursor.bytes()
  const type = key === null ? -1 : viewOf(key).getInt16(2)
  return type === 0 ? "abort" : type === 1 ? "commit" : "other"
}

/** The records of a batch, whose bytes begin somewhere in `bytes`. */
const decoded = (
  batch: Uint8Array,
  bytes: Uint8Array,
  from: number
): Effect.Effect<ReadonlyArray<FetchedRecord>, DriverError> => {
  const view = viewOf(batch)
  const baseOffset = view.getBigInt64(0)
  try {
    const firstTimestamp = view.getBigInt64(firstTimestampAt)
    const appendedAt = (view.getInt16(attributesAt) & logAppendTimeBit) === 0
      ? null
      : view.getBigInt64(maxTimestampAt)
    const cursor = cursorOf(bytes, from)
    const records: Array<FetchedRecord> = []
    for (let left = view.getInt32(countAt); left > 0; left--) {
      records.push(readRecord(cursor, baseOffset, firstTimestamp, appendedAt))
    }
    return Effect.succeed(records)
  } catch {
    return Effect.fail(
      new DriverError({
        request: "Fetch",
        failure: Failure.NotKafka(),
        detail: `The records at offset ${baseOffset} cannot be read`
      })
    )
  }
}

const noHeaders: FetchedRecord["headers"] = Object.freeze([])

const readRecord = (
  cursor: Cursor,
  baseOffset: bigint,
  firstTimestamp: bigint,
  appendedAt: bigint | null
): FetchedRecord => {
  // The record's length and its attributes, which are unused.
  cursor.varint()
  cursor.skip(1)
  const delta = cursor.varint()
  const timestamp = appendedAt ??
    (delta === 0 ? firstTimestamp : firstTimestamp + BigInt(delta))
  const offset = baseOffset + BigInt(cursor.varint())
  const key = cursor.bytes()
  const value = cursor.bytes()
  const count = cursor.varint()
  return {
    offset,
    timestamp,
    key,
    value,
    headers: count <= 0 ? noHeaders : readHeaders(cursor, count)
  }
}

const readHeaders = (cursor: Cursor, count: number): FetchedRecord["headers"] => {
  const headers: Array<readonly [string, Uint8Array | null]> = []
  for (let left = count; left > 0; left--) {
    const name = cursor.bytes()
    headers.push([name === null ? "" : decodeUtf8(name), cursor.bytes()])
  }
  return headers
}

interface Cursor {
  readonly skip: (bytes: number) => void
  readonly varint: () => number
  readonly bytes: () => Uint8Array | null
}

/** Every read throws a RangeError past the end. */
const cursorOf = (buffer: Uint8Array, from: number): Cursor => {
  let at = from
  const varint = (): number => {
    let value = 0
    // A plain number is exact up to 2^53, and no length or delta comes near that.
    for (let scale = 1;; scale *= 128) {
      if (at >= buffer.length) throw new RangeError("The record ends too early")
      const byte = buffer[at]!
      at += 1
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
  }
  return {
    skip: (bytes) => {
      at += bytes
    },
    varint,
    bytes: () => {
      const length = varint()
      if (length < 0) return null
      at += length
      if (at > buffer.length) throw new RangeError("The record ends too early")
      return buffer.subarray(at - length, at)
    }
  }
}
