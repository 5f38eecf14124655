/**
 * What every record of a proof run carries in the first 32 bytes of its value, so that the log
 * alone says whose record it is and whether its transaction is whole.
 *
 * | bytes | field | |
 * | --- | --- | --- |
 * | 0-3 | magic | `KO1` and a zero byte |
 * | 4-7 | `run` | the run, so that a topic's older records are not taken for its own |
 * | 8-9 | `process` | the process, each restart a new one |
 * | 10-11 | `session` | the producer session within the process |
 * | 12-15 | `transaction` | the transaction within the process, each attempt a new one |
 * | 16-17 | `index` | the record within the transaction, from 0 |
 * | 18-19 | `count` | how many records the transaction has when it commits |
 * | 20-21 | `inputPartition` | of the input it was made from, 65535 for none |
 * | 22-27 | `inputOffset` | of the input |
 * | 28-31 | crc32 | of all other bytes of the value, those after the stamp among them |
 *
 * @since 0.1.0
 */
import { crc32 } from "node:zlib"

/**
 * A stamp.
 *
 * **Details**
 *
 * *Units and bounds*: unsigned numbers of the widths above; `inputPartition` and `inputOffset` are
 * both -1 for a record that was made from no input.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordStamp {
  readonly run: number
  readonly process: number
  readonly session: number
  readonly transaction: number
  readonly index: number
  readonly count: number
  readonly inputPartition: number
  readonly inputOffset: number
}

/**
 * The bytes of a stamp.
 *
 * @category models
 * @since 0.1.0
 */
export const stampBytes = 32

const magic = 0x4b4f3100
const noPartition = 0xffff

/**
 * A value with its stamp. What is beyond the stamp up to `bytes` is filled from the stamp's own
 * numbers, so that no two values are equal and a compressed batch is not empty.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` for a number that does not fit: the run has outgrown the format.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (stamp: RecordStamp, bytes: number = stampBytes): Uint8Array => {
  const value = Buffer.alloc(Math.max(bytes, stampBytes))
  value.writeUInt32BE(magic, 0)
  value.writeUInt32BE(stamp.run, 4)
  value.writeUInt16BE(stamp.process, 8)
  value.writeUInt16BE(stamp.session, 10)
  value.writeUInt32BE(stamp.transaction, 12)
  value.writeUInt16BE(stamp.index, 16)
  value.writeUInt16BE(stamp.count, 18)
  const hasInput = stamp.inputPartition >= 0
  value.writeUInt16BE(hasInput ? stamp.inputPartition : noPartition, 20)
  value.writeUIntBE(hasInput ? stamp.inputOffset : 0, 22, 6)
  for (let at = stampBytes; at < value.length; at++) {
    value[at] = (stamp.transaction * 31 + stamp.index * 7 + at) & 0xff
  }
  value.writeUInt32BE(checksum(value), 28)
  return value
}

const checksum = (value: Buffer): number =>
  value.length === stampBytes
    ? crc32(value.subarray(0, 28))
    : crc32(value.subarray(stampBytes), crc32(value.subarray(0, 28)))

/**
 * The stamp of a value; `foreign` for a value that has none, and `corrupt` for one whose bytes are
 * not those that were written.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (value: Uint8Array | null): RecordStamp | "foreign" | "corrupt" => {
  if (value === null || value.length < stampBytes) return "foreign"
  const buffer = Buffer.from(value.buffer, value.byteOffset, value.length)
  if (buffer.readUInt32BE(0) !== magic) return "foreign"
  if (buffer.readUInt32BE(28) !== checksum(buffer)) return "corrupt"
  const partition = buffer.readUInt16BE(20)
  const hasInput = partition !== noPartition
  return {
    run: buffer.readUInt32BE(4),
    process: buffer.readUInt16BE(8),
    session: buffer.readUInt16BE(10),
    transaction: buffer.readUInt32BE(12),
    index: buffer.readUInt16BE(16),
    count: buffer.readUInt16BE(18),
    inputPartition: hasInput ? partition : -1,
    inputOffset: hasInput ? buffer.readUIntBE(22, 6) : -1
  }
}
