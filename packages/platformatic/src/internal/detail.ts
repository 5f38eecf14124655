/**
 * What went wrong on a connection, in words for people: with the broker and the user that it is
 * about, and without the password or the token, for a server may answer with what it was sent.
 */
import * as Redacted from "effect/Redacted"
import type { Address } from "./address.ts"
import { keyOf } from "./address.ts"
import { causesOf } from "./failure.ts"
import type { SaslSettings, Settings } from "./settings.ts"

/** `isOfUser`: it is about who this client is. */
export const of = (
  { sasl }: Settings,
  address: Address,
  error: unknown,
  isOfUser: boolean
): string => {
  const text = without(innermost(error), secretOf(sasl))
  const told = isOfUser && sasl !== null ? `${whoIs(sasl)}: ${text}` : text
  const broker = keyOf(address)
  return cut(told.includes(broker) ? told : `${broker}: ${told}`)
}

/** The innermost message: the outer ones only say that something failed. */
const innermost = (error: unknown): string => {
  const found = causesOf(error).findLast((one) => one instanceof Error)
  // It becomes a part of a sentence.
  return plainly(found instanceof Error ? found.message : String(error)).replace(/\.$/, "")
}

/** The alerts with which a server refuses a client's certificate, or the lack of one. */
const ofCertificate = /alert.*(certificate|unknown ca)/

/** OpenSSL gives a number, a routine, a file of its own, and in between what happened. */
const plainly = (message: string): string => {
  const reason = /SSL routines:[^:]*:([^:]+):/.exec(message)?.[1]
  if (reason === undefined) return message
  return ofCertificate.test(reason)
    ? `${reason}: the broker refuses this client's certificate, or asks for one ` +
      "(`tls.cert` and `tls.key`)"
    : reason
}

const whoIs = (sasl: SaslSettings): string => {
  const mechanism = sasl.mechanism.toUpperCase()
  return sasl.mechanism === "oauthbearer" ? mechanism : `${mechanism} as user "${sasl.username}"`
}

const secretOf = (sasl: SaslSettings | null): string => {
  if (sasl === null) return ""
  return sasl.mechanism === "oauthbearer" ? sasl.tokens.newest() : Redacted.value(sasl.password)
}

const without = (text: string, secret: string): string =>
  secret === "" ? text : text.replaceAll(secret, "<redacted>")

const longest = 300

const cut = (text: string): string => text.length <= longest ? text : `${text.slice(0, longest)}...`
