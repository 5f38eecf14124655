// A global of every JavaScript runtime; core has the types of none of them.
declare const TextEncoder: new() => { readonly encode: (text: string) => Uint8Array }

const textEncoder = new TextEncoder()

/**
 * The UTF-8 bytes of a text.
 */
export const encodeUtf8 = (text: string): Uint8Array => textEncoder.encode(text)
