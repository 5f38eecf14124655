/**
 * The record batches of a partition, as a Fetch answers them and as they lie in the log.
 *
 * kafkajs' own decoder drops the order of headers and fails on control records that it does not
 * know; what it decodes cannot be told apart by producer.
 */
import type { FetchedRecord } from "@kafka-once/core/ConsumerDriver"
import { DriverError, Failure } from "@kafka-once/core/DriverError"
import * as Effect from "effect/Effect"
// Node finds only some names of a CommonJS module, and `CompressionCodecs` is none of them.
import kafkajs, { CompressionTypes } from "kafkajs"
import { promisify } from "node:util"
import { gunzip, zstdDecompress } from "node:zlib"

export interface RecordBatch {
  readonly baseOffset: bigint
  readonly lastOffset: bigint
  readonly producerId: bigint
  readonly isTransactional: boolean
  readonly count: number
  readonly bytes: number
  /** `null` for records, otherwise what the marker says. */
  readonly control: "commit" | "abort" | "other" | null
  readonly records: Effect.Effect<ReadonlyArray<FetchedRecord>, DriverError>
}

const headerBytes = 61
const compressionBits = 0x07
const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20

/** Reads the headers of record batches; the last one may be cut off. */
export const read = (bytes: Buffer): ReadonlyArray<RecordBatch> => {
  const batches: Array<RecordBatch> = []
  let at = 0
  while (at + headerBytes <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (end <= at + 12 || end > bytes.length) break
    batches.push(readBatch(bytes.subarray(at, end)))
    at = end
  }
  return batches
}

const readBatch = (batch: Buffer): RecordBatch => {
  const baseOffset = batch.readBigInt64BE(0)
  // Message sets from before Kafka 0.11 have no producers; theirs is the offset of the message.
  if (batch.readInt8(16) < 2) {
    return {
      baseOffset,
      lastOffset: baseOffset,
      producerId: -1n,
      isTransactional: false,
      count: 1,
      bytes: batch.length,
      control: null,
      records: Effect.fail(failed("has the record format of before Kafka 0.11"))
    }
  }
  const attributes = batch.readInt16BE(21)
  const isControl = (attributes & controlBit) !== 0
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(batch.readInt32BE(23)),
    producerId: batch.readBigInt64BE(43),
    isTransactional: (attributes & transactionalBit) !== 0,
    count: batch.readInt32BE(57),
    bytes: batch.length,
    control: isControl ? markerOf(batch.subarray(headerBytes)) : null,
    records: Effect.suspend(() => readRecords(batch, baseOffset, attributes))
  }
}

/** The key of a control record is a version and a type. */
const markerOf = (record: Buffer): "commit" | "abort" | "other" => {
  const cursor = cursorOf(record)
  cursor.varint()
  cursor.skip(1)
  // Two deltas and the length of the key.
  for (let field = 0; field < 3; field++) cursor.varint()
  cursor.skip(2)
  const type = cursor.int16()
  return type === 0 ? "abort" : type === 1 ? "commit" : "other"
}

const readRecords = (
  batch: Buffer,
  baseOffset: bigint,
  attributes: number
): Effect.Effect<ReadonlyArray<FetchedRecord>, DriverError> =>
  Effect.flatMap(
    decompressed(attributes & compressionBits, batch.subarray(headerBytes)),
    (bytes) =>
      Effect.try({
        try: () => {
          const count = batch.readInt32BE(57)
          const firstTimestamp = batch.readBigInt64BE(27)
          const appendedAt = (attributes & logAppendTimeBit) === 0
            ? null
            : batch.readBigInt64BE(35)
          const cursor = cursorOf(bytes)
          return Array.from(
            { length: count },
            () => readRecord(cursor, baseOffset, firstTimestamp, appendedAt)
          )
        },
        catch: () =>
          new DriverError({
            request: "Fetch",
            failure: Failure.NotKafka(),
            detail: `The records at offset ${baseOffset} cannot be read`
          })
      })
  )

const readRecord = (
  cursor: Cursor,
  baseOffset: bigint,
  firstTimestamp: bigint,
  appendedAt: bigint | null
): FetchedRecord => {
  // The record's length and its attributes, which are unused.
  cursor.varint()
  cursor.skip(1)
  const timestamp = firstTimestamp + BigInt(cursor.varint())
  const offset = baseOffset + BigInt(cursor.varint())
  const key = cursor.bytes()
  const value = cursor.bytes()
  const count = cursor.varint()
  const headers: Array<readonly [string, Uint8Array | null]> = []
  for (let index = 0; index < count; index++) {
    headers.push([cursor.bytes()?.toString("utf8") ?? "", cursor.bytes()])
  }
  return { offset, timestamp: appendedAt ?? timestamp, key, value, headers }
}

interface Cursor {
  readonly skip: (bytes: number) => void
  readonly int16: () => number
  readonly varint: () => number
  readonly bytes: () => Buffer | null
}

/** Every read throws a RangeError past the end. */
const cursorOf = (buffer: Buffer): Cursor => {
  let at = 0
  const varint = (): number => {
    let value = 0
    // A plain number is exact up to 2^53, and no length or delta comes near that.
    for (let scale = 1;; scale *= 128) {
      const byte = buffer.readUInt8(at)
      at += 1
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
  }
  return {
    skip: (bytes) => {
      at += bytes
    },
    int16: () => {
      at += 2
      return buffer.readInt16BE(at - 2)
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

/** What a batch may grow to; a broker's own limit for one is far below. */
const mostDecompressedBytes = 256 * 1024 * 1024
const limits = { maxOutputLength: mostDecompressedBytes }
const fromGzip = promisify<Buffer, typeof limits, Buffer>(gunzip)
const fromZstd = promisify<Buffer, typeof limits, Buffer>(zstdDecompress)

const decompressed = (type: number, bytes: Buffer): Effect.Effect<Buffer, DriverError> => {
  switch (type) {
    case CompressionTypes.None:
      return Effect.succeed(bytes)
    case CompressionTypes.GZIP:
      return decompressing("gzip", () => fromGzip(bytes, limits))
    case CompressionTypes.ZSTD:
      return decompressing("zstd", () => fromZstd(bytes, limits))
    case CompressionTypes.Snappy:
      return decompressing("snappy", () => registered(type, bytes))
    case CompressionTypes.LZ4:
      return decompressing("lz4", () => registered(type, bytes))
    default:
      return Effect.fail(failed(`is compressed in an unknown way, ${type}`))
  }
}

/** Where users put codecs for kafkajs, which has none of its own for these. */
const registered = async (
  type: CompressionTypes.Snappy | CompressionTypes.LZ4,
  bytes: Buffer
): Promise<Buffer> => {
  const codecs: Record<number, () => { decompress: (bytes: Buffer) => Promise<Buffer> }> =
    kafkajs.CompressionCodecs
  const codec = codecs[type]?.()
  if (codec === undefined) throw new Error("There is no such codec")
  return codec.decompress(bytes)
}

const decompressing = (name: string, decompress: () => Promise<Buffer>) =>
  Effect.tryPromise({
    try: decompress,
    catch: () =>
      failed(
        `is compressed with ${name}, and could not be decompressed` +
          (name === "snappy" || name === "lz4"
            ? "; a codec for it must be in `CompressionCodecs` of kafkajs"
            : "")
      )
  })

const failed = (problem: string): DriverError =>
  new DriverError({
    request: "Fetch",
    failure: Failure.Refused(),
    detail: `A batch of records ${problem}`
  })
