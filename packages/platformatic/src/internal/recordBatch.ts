/**
 * A batch of records in the bytes that go over the wire, format version 2.
 *
 * The client has an encoder, which is not used: it writes a wrong timestamp for every record that
 * is 2^31 milliseconds (25 days) or more apart from the first of its batch, and makes several
 * buffers for each record. Its checksum and its compression are used.
 */
import type { EncodedRecord } from "@kafka-once/core/KafkaDriver"
import {
  compressionsAlgorithms,
  crc32c,
  CURRENT_RECORD_VERSION,
  IS_TRANSACTIONAL
} from "@platformatic/kafka"
import type { Actor } from "./requests.ts"
import type { Compression } from "./settings.ts"
import * as Varint from "./varint.ts"

/**
 * The fields of a batch before its records, and where they begin: base offset, length, leader
 * epoch, magic, checksum, attributes, last offset delta, first and largest timestamp, producer id,
 * epoch, sequence, count.
 */
const headerBytes = 61
const lengthAt = 8
const leaderEpochAt = 12
const magicAt = 16
const checksumAt = 17
const attributesAt = 21

export const encode = (
  { epoch, producerId }: Actor,
  sequence: number,
  records: ReadonlyArray<EncodedRecord>,
  compression: Compression
): Buffer => {
  const algorithm = compressionsAlgorithms[compression]
  const first = records[0]?.timestamp ?? 0n
  const isPlain = compression === "none"
  const sizes = records.map((record, index) => sizeOf(record, record.timestamp - first, index))
  const bodyBytes = sizes.reduce((sum, size) => sum + Varint.size(size) + size, 0)
  const before = isPlain ? headerBytes : 0
  let buffer: Buffer = Buffer.allocUnsafe(before + bodyBytes)
  let at = before
  let largest = first
  records.forEach((record, index) => {
    if (record.timestamp > largest) largest = record.timestamp
    at = Varint.write(buffer, at, sizes[index] ?? 0)
    at = writeRecord(buffer, at, record, record.timestamp - first, index)
  })
  if (!isPlain) {
    buffer = Buffer.concat([Buffer.allocUnsafe(headerBytes), algorithm.compressSync(buffer)])
  }

  buffer.writeBigInt64BE(0n, 0)
  buffer.writeInt32BE(buffer.length - leaderEpochAt, lengthAt)
  buffer.writeInt32BE(-1, leaderEpochAt)
  buffer.writeInt8(CURRENT_RECORD_VERSION, magicAt)
  at = buffer.writeInt16BE(IS_TRANSACTIONAL | algorithm.bitmask, attributesAt)
  at = buffer.writeInt32BE(records.length - 1, at)
  at = buffer.writeBigInt64BE(first, at)
  at = buffer.writeBigInt64BE(largest, at)
  at = buffer.writeBigInt64BE(producerId, at)
  at = buffer.writeInt16BE(epoch, at)
  at = buffer.writeInt32BE(sequence, at)
  buffer.writeInt32BE(records.length, at)
  buffer.writeUInt32BE(crc32c(buffer.subarray(attributesAt)), checksumAt)
  return buffer
}

/** Without the length that stands before it. */
const sizeOf = ({ headers, key, value }: EncodedRecord, delta: bigint, index: number): number => {
  // The attributes take one byte.
  let size = 1 + Varint.sizeOfLong(delta) + Varint.size(index) + sizeOfBytes(key) +
    sizeOfBytes(value) + Varint.size(headers.length)
  for (const [name, value] of headers) {
    const nameBytes = Buffer.byteLength(name)
    size += Varint.size(nameBytes) + nameBytes + sizeOfBytes(value)
  }
  return size
}

const sizeOfBytes = (bytes: Uint8Array | null): number =>
  bytes === null ? Varint.size(-1) : Varint.size(bytes.length) + bytes.length

const writeRecord = (
  buffer: Buffer,
  from: number,
  { headers, key, value }: EncodedRecord,
  delta: bigint,
  index: number
): number => {
  let at = buffer.writeInt8(0, from)
  at = Varint.writeLong(buffer, at, delta)
  at = Varint.write(buffer, at, index)
  at = writeBytes(buffer, at, key)
  at = writeBytes(buffer, at, value)
  at = Varint.write(buffer, at, headers.length)
  for (const [name, value] of headers) {
    at = Varint.write(buffer, at, Buffer.byteLength(name))
    at += buffer.write(name, at)
    at = writeBytes(buffer, at, value)
  }
  return at
}

const writeBytes = (buffer: Buffer, from: number, bytes: Uint8Array | null): number => {
  if (bytes === null) return Varint.write(buffer, from, -1)
  const at = Varint.write(buffer, from, bytes.length)
  buffer.set(bytes, at)
  return at + bytes.length
}
