/**
 * SASL over the client's own exchanges, with what they lack: a server's answer that they cannot
 * read throws inside the socket's listener, and would end the program.
 */
import {
  AuthenticationError,
  type Connection,
  type saslAuthenticateV2,
  saslOAuthBearer,
  type SASLOptions,
  saslPlain,
  saslScramSha
} from "@platformatic/kafka"
import * as Redacted from "effect/Redacted"
import type { SaslSettings } from "./settings.ts"

type SASLAuthenticationAPI = typeof saslAuthenticateV2.api

const algorithms = {
  "scram-sha-256": "SHA-256",
  "scram-sha-512": "SHA-512"
} as const

const mechanisms = {
  "oauthbearer": "OAUTHBEARER",
  "plain": "PLAIN",
  "scram-sha-256": "SCRAM-SHA-256",
  "scram-sha-512": "SCRAM-SHA-512"
} as const

/**
 * What the client takes for authentication. `onAuthenticated` is told how long the broker lets the
 * session live, 0 for ever; the client itself would authenticate anew while other requests go out
 * on the connection, which a broker answers by closing it.
 */
export const optionsOf = (
  sasl: SaslSettings,
  onAuthenticated: (sessionLifetimeMillis: number) => void
): SASLOptions => ({
  mechanism: mechanisms[sasl.mechanism],
  authenticate: (_mechanism, connection, api, _username, _password, _token, callback) => {
    const fail = (error: unknown) =>
      callback(error instanceof Error ? error : new Error(String(error)))
    const guarded = guard(api, fail)
    const done: typeof callback = (error, answer) => {
      if (error !== null || answer === undefined) return callback(error, answer)
      // A broker refuses a token in words, with the code of a success (RFC 7628, 3.2.3).
      if (sasl.mechanism === "oauthbearer" && answer.authBytes.length > 0) {
        return callback(new AuthenticationError(`SASL refused: ${answer.authBytes.toString()}`))
      }
      onAuthenticated(Number(answer.sessionLifetimeMs))
      callback(null, { ...answer, sessionLifetimeMs: 0n })
    }
    switch (sasl.mechanism) {
      case "oauthbearer":
        return saslOAuthBearer.authenticate(guarded, connection, sasl.tokens.take, {}, done)
      case "plain":
        return saslPlain.authenticate(
          guarded,
          connection,
          sasl.username,
          Redacted.value(sasl.password),
          done
        )
      default:
        return saslScramSha.authenticate(
          guarded,
          connection,
          algorithms[sasl.mechanism],
          sasl.username,
          Redacted.value(sasl.password),
          saslScramSha.defaultCrypto,
          done
        )
    }
  }
})

/** More would keep a thread busy for minutes after the exchange has timed out. */
const mostIterations = 1_000_000

type Answered = Parameters<SASLAuthenticationAPI>[2]

const guard = (api: SASLAuthenticationAPI, fail: (error: unknown) => void) => {
  const guarded = (connection: Connection, bytes: Buffer, answered: Answered): void =>
    api(connection, bytes, (error, answer) => {
      try {
        const text = answer?.authBytes.toString("latin1") ?? ""
        const iterations = Number(/(?:^|,)i=(\d+)/.exec(text)?.[1] ?? 0)
        if (iterations > mostIterations) {
          throw new AuthenticationError("SASL refused: the server asks for too many iterations")
        }
        answered?.(error, answer)
      } catch (thrown) {
        fail(thrown)
      }
    })
  // The exchanges only call it; the promise form beside it is not used.
  return guarded as unknown as SASLAuthenticationAPI
}
