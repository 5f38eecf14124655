/**
 * What is wrong with the certificates and the key that were given, before anything is connected:
 * Node reports it at each connection, as a failure of that connection.
 */
import * as Redacted from "effect/Redacted"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { createSecureContext } from "node:tls"
import type { TlsSettings } from "./settings.ts"

export interface Problem {
  readonly option: "tls.ca" | "tls.cert" | "tls.key"
  readonly problem: string
}

export const find = (tls: TlsSettings): Problem | null => {
  const { ca, cert } = tls
  const key = tls.key === undefined ? undefined : Redacted.value(tls.key)
  const passphrase = tls.passphrase === undefined ? undefined : Redacted.value(tls.passphrase)
  for (const one of typeof ca === "string" ? [ca] : ca ?? []) {
    if (!isRead(() => new X509Certificate(one))) return notPem("tls.ca", "a certificate")
  }
  if (cert !== undefined && !isRead(() => new X509Certificate(cert))) {
    return notPem("tls.cert", "a certificate")
  }
  if (key !== undefined && !isRead(() => createPrivateKey({ key, passphrase }))) {
    return {
      option: "tls.key",
      problem: "cannot be read; it must be a private key in PEM form, with its `passphrase` if " +
        "it is encrypted"
    }
  }
  if (cert !== undefined && key === undefined) {
    return { option: "tls.key", problem: "is missing, without which `tls.cert` proves nothing" }
  }
  if (key !== undefined && cert === undefined) {
    return { option: "tls.cert", problem: "is missing, to which `tls.key` belongs" }
  }
  return isRead(() => createSecureContext({ cert, key, passphrase }))
    ? null
    : { option: "tls.key", problem: "is not the private key of the certificate in `tls.cert`" }
}

const notPem = (option: Problem["option"], what: string): Problem => ({
  option,
  problem: `cannot be read; it must be ${what} in PEM form: a text, not the path of a file`
})

/** The message of what is thrown is left out: it is OpenSSL's, and says less. */
const isRead = (read: () => unknown): boolean => {
  try {
    read()
    return true
  } catch {
    return false
  }
}
