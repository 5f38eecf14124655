// A global of every JavaScript runtime; core has the types of none of them.
declare const TextEncoder: new() => {
  readonly encode: (text: string) => Uint8Array
  readonly encodeInto: (text: string, into: Uint8Array) => { readonly written: number }
}

declare const TextDecoder: new(encoding?: string, options?: { readonly fatal: boolean }) => {
  readonly decode: (bytes: Uint8Array) => string
}

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder()
const strictDecoder = new TextDecoder("utf-8", { fatal: true })

// Keys and values are mostly short, and an allocation of its own costs more than the encoding of a
// short text. So they share one, as Node's own `Buffer` does; a part of it is never given out
// twice.
const slabBytes = 16_384
const maxSharedBytes = slabBytes / 8
let slab = new Uint8Array(slabBytes)
let used = 0

/**
 * The UTF-8 bytes of a text. The array may share its buffer with others.
 */
export const encodeUtf8 = (text: string): Uint8Array => {
  // One UTF-16 unit takes at most three bytes.
  const most = text.length * 3
  if (most > maxSharedBytes) return textEncoder.encode(text)
  if (most > slabBytes - used) {
    slab = new Uint8Array(slabBytes)
    used = 0
  }
  const from = used
  used += textEncoder.encodeInto(text, slab.subarray(from)).written
  return slab.subarray(from, used)
}

/** The text of UTF-8 bytes; what is no UTF-8 becomes U+FFFD. */
export const decodeUtf8 = (bytes: Uint8Array): string => textDecoder.decode(bytes)

/** The text of UTF-8 bytes, or `null` where they are not UTF-8. */
export const decodeUtf8Strictly = (bytes: Uint8Array): string | null => {
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return null
  }
}
