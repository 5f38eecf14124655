/**
 * Reads record batches of format 2 as they lie in the log: which producer, which epoch and
 * sequence wrote them, whether they are transactional, and what an end marker decides.
 *
 * Source: `DefaultRecordBatch.java`, `DefaultRecord.java`, `ControlRecordType.java`.
 */
import * as Result from "effect/Result"
import { gunzipSync } from "node:zlib"
import * as ByteReader from "./byteReader.ts"
import {
  fromThrown,
  Malformed,
  type ProtocolError,
  UnsupportedCompression
} from "./protocolError.ts"

export interface RecordHeader {
  readonly key: string
  readonly value: Uint8Array | null
}

export interface LogRecord {
  readonly offset: bigint
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<RecordHeader>
}

/**
 * The fixed part of a batch. `control` is the decision of a control batch, and null for a batch of
 * data; `other` is a control record that ends no transaction, such as a leader change.
 */
export interface RecordBatch {
  readonly baseOffset: bigint
  readonly lastOffset: bigint
  readonly partitionLeaderEpoch: number
  readonly crc: number
  readonly compression: "none" | "gzip" | "snappy" | "lz4" | "zstd"
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly control: "commit" | "abort" | "other" | null
  readonly coordinatorEpoch: number | null
  readonly baseTimestamp: bigint
  readonly maxTimestamp: bigint
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
  readonly records: ReadonlyArray<LogRecord>
}

const codecs = ["none", "gzip", "snappy", "lz4", "zstd"] as const

/** From the first byte of a batch to its length field's end, which the length does not count. */
const prefixBytes = 12

/** A compressed batch may unpack to this much; what claims more is refused. */
const unpackedBytesMax = 100 * 1024 * 1024

/** From the first byte of a batch to its producer id, which the proxy looks at alone. */
export const producerIdPosition = 43

/**
 * Reads all whole batches of what Fetch answered or Produce carries. A batch that the broker cut
 * off at the end of a Fetch answer is left out, as every consumer does.
 */
export const readAll = (
  bytes: Uint8Array
): Result.Result<ReadonlyArray<RecordBatch>, ProtocolError> =>
  Result.try({
    try: () => {
      const reader = ByteReader.make(bytes)
      const batches: Array<RecordBatch> = []
      while (ByteReader.leftBytes(reader) >= prefixBytes) {
        const batchBytes = prefixBytes + reader.bytes.readInt32BE(reader.position + 8)
        if (batchBytes < 61) throw ByteReader.malformed(reader, `a batch of ${batchBytes} bytes`)
        if (batchBytes > ByteReader.leftBytes(reader)) break
        batches.push(readBatch(ByteReader.make(ByteReader.raw(reader, batchBytes))))
      }
      return batches
    },
    catch: fromThrown("readRecordBatches")
  })

const readBatch = (reader: ByteReader.ByteReader): RecordBatch => {
  const baseOffset = ByteReader.int64(reader)
  ByteReader.int32(reader)
  const partitionLeaderEpoch = ByteReader.int32(reader)
  const magic = ByteReader.int8(reader)
  if (magic !== 2) throw ByteReader.malformed(reader, `a record batch of format ${magic}`)
  const crc = ByteReader.uint32(reader)
  const attributes = ByteReader.int16(reader)
  const lastOffsetDelta = ByteReader.int32(reader)
  const baseTimestamp = ByteReader.int64(reader)
  const maxTimestamp = ByteReader.int64(reader)
  const producerId = ByteReader.int64(reader)
  const producerEpoch = ByteReader.int16(reader)
  const baseSequence = ByteReader.int32(reader)
  const recordCount = ByteReader.int32(reader)
  const compression = codecs[attributes & 0x07]
  if (compression === undefined) {
    throw ByteReader.malformed(reader, `compression ${attributes & 0x07}`)
  }
  const isControl = (attributes & 0x20) !== 0
  const records = readRecords(unpack(reader, compression), recordCount, baseOffset, baseTimestamp)
  const first = records[0]
  const marker = isControl && first !== undefined ? readMarker(first) : null
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(lastOffsetDelta),
    partitionLeaderEpoch,
    crc,
    compression,
    isTransactional: (attributes & 0x10) !== 0,
    isControl,
    control: isControl ? marker?.control ?? "other" : null,
    coordinatorEpoch: marker?.coordinatorEpoch ?? null,
    baseTimestamp,
    maxTimestamp,
    producerId,
    producerEpoch,
    baseSequence,
    recordCount,
    records
  }
}

const unpack = (
  reader: ByteReader.ByteReader,
  compression: RecordBatch["compression"]
): ByteReader.ByteReader => {
  if (compression === "none") return reader
  if (compression !== "gzip") throw new UnsupportedCompression({ codec: compression })
  const packed = ByteReader.raw(reader, ByteReader.leftBytes(reader))
  const unpacked = Result.try({
    try: () => gunzipSync(packed, { maxOutputLength: unpackedBytesMax }),
    catch: (cause) => new Malformed({ position: 61, problem: `gzip: ${String(cause)}` })
  })
  if (Result.isFailure(unpacked)) throw unpacked.failure
  return ByteReader.make(unpacked.success)
}

const readRecords = (
  reader: ByteReader.ByteReader,
  count: number,
  baseOffset: bigint,
  baseTimestamp: bigint
): ReadonlyArray<LogRecord> => {
  // A record takes seven bytes at least: length, attributes, two deltas, key, value, headers.
  if (count < 0 || count * 7 > ByteReader.leftBytes(reader)) {
    throw ByteReader.malformed(reader, `a batch of ${count} records`)
  }
  const records: Array<LogRecord> = []
  for (let index = 0; index < count; index++) {
    const record = ByteReader.make(ByteReader.raw(reader, ByteReader.varint(reader)))
    ByteReader.int8(record)
    const timestamp = baseTimestamp + ByteReader.varlong(record)
    const offset = baseOffset + BigInt(ByteReader.varint(record))
    const key = readBytes(record)
    const value = readBytes(record)
    records.push({ offset, timestamp, key, value, headers: readHeaders(record) })
  }
  return records
}

const readBytes = (reader: ByteReader.ByteReader): Uint8Array | null => {
  const length = ByteReader.varint(reader)
  return length === -1 ? null : ByteReader.raw(reader, length)
}

const readHeaders = (reader: ByteReader.ByteReader): ReadonlyArray<RecordHeader> => {
  const count = ByteReader.varint(reader)
  if (count < 0 || count * 2 > ByteReader.leftBytes(reader)) {
    throw ByteReader.malformed(reader, `${count} headers`)
  }
  const headers: Array<RecordHeader> = []
  for (let index = 0; index < count; index++) {
    const key = ByteReader.text(reader, ByteReader.varint(reader))
    headers.push({ key, value: readBytes(reader) })
  }
  return headers
}

/** The key of a control record is its version and its type; an end marker's value has the epoch. */
const readMarker = (record: LogRecord) => {
  if (record.key === null) return null
  const key = ByteReader.make(record.key)
  ByteReader.int16(key)
  const type = ByteReader.int16(key)
  if (type !== 0 && type !== 1) return null
  if (record.value === null) return null
  const value = ByteReader.make(record.value)
  ByteReader.int16(value)
  return {
    control: type === 1 ? "commit" as const : "abort" as const,
    coordinatorEpoch: ByteReader.int32(value)
  }
}
