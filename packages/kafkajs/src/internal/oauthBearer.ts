/**
 * SASL OAUTHBEARER (RFC 7628, KIP-255) in place of kafkajs' own, which takes a refusal for a
 * success: a broker answers a token that it refuses with a text, wants that acknowledged, and
 * tells the code only then.
 */
import type { TokenProvider } from "@kafka-once/core/ConnectionOptions"
import type { AuthenticationProviderArgs, Authenticator } from "kafkajs"

const separator = "\u0001"

export const provider =
  (tokens: TokenProvider) => ({ saslAuthenticate }: AuthenticationProviderArgs): Authenticator => {
    /** Sends a message, and gives the length of what the broker says to it. */
    const ask = (message: string): Promise<number | void> =>
      saslAuthenticate({
        request: { encode: () => withLength(Buffer.from(message)) },
        response: { decode: (raw) => raw, parse: (raw) => raw.readInt32BE(0) }
      })
    return {
      authenticate: async () => {
        const token = await tokens.take()
        const length = await ask(`n,,${separator}auth=Bearer ${token}${separator}${separator}`)
        if (typeof length !== "number" || length <= 0) return
        // The code is read from the answer; kafkajs' error has what the broker says of the token.
        const why = await ask(separator).then(() => "", ({ message }: Error) => message)
        throw new Error(`SASL OAUTHBEARER: the broker refuses the token: ${why}`)
      }
    }
  }

/** kafkajs takes the bytes with their length before them, and gives them so. */
const withLength = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
