/**
 * Reads the primitive types of the Kafka protocol from a buffer, and checks every length against
 * what is left before anything is allocated. Functions whose bytes are wrong throw a `Reason`;
 * the entry points of the codec turn it into a typed failure.
 */
import { isUtf8 } from "node:buffer"
import { Malformed, Truncated } from "./protocolError.ts"

export interface ByteReader {
  readonly bytes: Buffer
  position: number
}

export const make = (bytes: Uint8Array): ByteReader => ({
  bytes: Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  position: 0
})

export const leftBytes = (reader: ByteReader): number => reader.bytes.length - reader.position

/** Moves past `count` bytes and returns where they start. */
const take = (reader: ByteReader, count: number): number => {
  const start = reader.position
  if (count > reader.bytes.length - start) {
    throw new Truncated({ position: start, neededBytes: count, leftBytes: leftBytes(reader) })
  }
  reader.position = start + count
  return start
}

export const malformed = (reader: ByteReader, problem: string): Malformed =>
  new Malformed({ position: reader.position, problem })

export const int8 = (reader: ByteReader): number => reader.bytes.readInt8(take(reader, 1))

export const int16 = (reader: ByteReader): number => reader.bytes.readInt16BE(take(reader, 2))

export const uint16 = (reader: ByteReader): number => reader.bytes.readUInt16BE(take(reader, 2))

export const int32 = (reader: ByteReader): number => reader.bytes.readInt32BE(take(reader, 4))

export const uint32 = (reader: ByteReader): number => reader.bytes.readUInt32BE(take(reader, 4))

export const int64 = (reader: ByteReader): bigint => reader.bytes.readBigInt64BE(take(reader, 8))

export const float64 = (reader: ByteReader): number => reader.bytes.readDoubleBE(take(reader, 8))

/** A byte other than 0 and 1 could not be written back as it was, and no Kafka sends one. */
export const bool = (reader: ByteReader): boolean => {
  const value = int8(reader)
  if (value !== 0 && value !== 1) throw malformed(reader, `boolean ${value}`)
  return value === 1
}

export const unsignedVarint = (reader: ByteReader): number => {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = reader.bytes[take(reader, 1)]!
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) {
      if (value > 0xffffffff) break
      return value
    }
  }
  throw malformed(reader, "a varint of more than 32 bits")
}

export const varint = (reader: ByteReader): number => {
  const value = unsignedVarint(reader)
  return (value >>> 1) ^ -(value & 1)
}

export const varlong = (reader: ByteReader): bigint => {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.bytes[take(reader, 1)]!
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n))
  }
  throw malformed(reader, "a varint of more than 64 bits")
}

/** A view of the next bytes; nothing is copied. */
export const raw = (reader: ByteReader, count: number): Buffer => {
  if (count < 0) throw malformed(reader, `length ${count}`)
  const start = take(reader, count)
  return reader.bytes.subarray(start, start + count)
}

export const text = (reader: ByteReader, count: number): string => {
  const bytes = raw(reader, count)
  const value = bytes.toString("utf8")
  // Only a replacement character can hide bytes that are not UTF-8, so the check is rarely made.
  if (value.includes("\ufffd") && !isUtf8(bytes)) throw malformed(reader, "a string not in UTF-8")
  return value
}

export const uuid = (reader: ByteReader): string => raw(reader, 16).toString("base64url")
