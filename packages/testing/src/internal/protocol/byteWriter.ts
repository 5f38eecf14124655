/**
 * Writes the primitive types of the Kafka protocol into a buffer that grows.
 */

export interface ByteWriter {
  bytes: Buffer
  length: number
}

export const make = (): ByteWriter => ({ bytes: Buffer.allocUnsafe(512), length: 0 })

/** The bytes written so far; the writer is not used afterwards. */
export const finish = (writer: ByteWriter): Buffer => writer.bytes.subarray(0, writer.length)

/** Makes room for `count` bytes and returns where they go. */
const reserve = (writer: ByteWriter, count: number): number => {
  const start = writer.length
  const end = start + count
  if (end > writer.bytes.length) {
    const grown = Buffer.allocUnsafe(Math.max(end, writer.bytes.length * 2))
    writer.bytes.copy(grown, 0, 0, start)
    writer.bytes = grown
  }
  writer.length = end
  return start
}

export const int8 = (writer: ByteWriter, value: number): void => {
  const at = reserve(writer, 1)
  writer.bytes.writeInt8(value, at)
}

export const int16 = (writer: ByteWriter, value: number): void => {
  const at = reserve(writer, 2)
  writer.bytes.writeInt16BE(value, at)
}

export const uint16 = (writer: ByteWriter, value: number): void => {
  const at = reserve(writer, 2)
  writer.bytes.writeUInt16BE(value, at)
}

export const int32 = (writer: ByteWriter, value: number): void => {
  const at = reserve(writer, 4)
  writer.bytes.writeInt32BE(value, at)
}

export const uint32 = (writer: ByteWriter, value: number): void => {
  const at = reserve(writer, 4)
  writer.bytes.writeUInt32BE(value, at)
}

export const int64 = (writer: ByteWriter, value: bigint): void => {
  const at = reserve(writer, 8)
  writer.bytes.writeBigInt64BE(value, at)
}

export const float64 = (writer: ByteWriter, value: number): void => {
  const at = reserve(writer, 8)
  writer.bytes.writeDoubleBE(value, at)
}

export const unsignedVarint = (writer: ByteWriter, value: number): void => {
  let rest = value >>> 0
  while (rest > 0x7f) {
    const at = reserve(writer, 1)
    writer.bytes[at] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  const at = reserve(writer, 1)
  writer.bytes[at] = rest
}

export const raw = (writer: ByteWriter, value: Uint8Array): void => {
  const at = reserve(writer, value.length)
  writer.bytes.set(value, at)
}
