/**
 * Integers of variable length, as records hold them: seven bits a byte, the sign in the lowest.
 */

const zigZag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0

const zigZagLong = (value: bigint): bigint => BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))

/** Of a number with 32 bits. */
export const size = (value: number): number => {
  let rest = zigZag(value)
  let bytes = 1
  while (rest >= 0x80) {
    rest >>>= 7
    bytes++
  }
  return bytes
}

/** Writes a number with 32 bits; answers where it ends. */
export const write = (buffer: Buffer, from: number, value: number): number => {
  let rest = zigZag(value)
  let at = from
  while (rest >= 0x80) {
    buffer[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buffer[at++] = rest
  return at
}

const isShort = (value: bigint): boolean => value === BigInt.asIntN(32, value)

/** Of a number with 64 bits. */
export const sizeOfLong = (value: bigint): number => {
  if (isShort(value)) return size(Number(value))
  let rest = zigZagLong(value)
  let bytes = 1
  while (rest >= 0x80n) {
    rest >>= 7n
    bytes++
  }
  return bytes
}

/** Writes a number with 64 bits; answers where it ends. */
export const writeLong = (buffer: Buffer, from: number, value: bigint): number => {
  if (isShort(value)) return write(buffer, from, Number(value))
  let rest = zigZagLong(value)
  let at = from
  while (rest >= 0x80n) {
    buffer[at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  buffer[at++] = Number(rest)
  return at
}
