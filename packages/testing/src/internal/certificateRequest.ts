/**
 * A key, and the request (PKCS 10, RFC 2986) to have it certified.
 *
 * `keytool` makes both, but gives no private key out of its store, and clients that are not Java
 * need it as PEM.
 */
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto"
import { der, nameOf, oids, pem, tags } from "./der.ts"

export interface CertificateRequest {
  /** The private key: PKCS 8 as PEM. */
  readonly key: string
  readonly request: string
}

/** A key on the curve P-256, for a subject that has this common name and nothing else. */
export const make = (commonName: string): CertificateRequest => {
  const pair = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" }
  })
  const information = der(
    tags.sequence,
    der(tags.integer, Buffer.of(0)),
    nameOf(commonName),
    pair.publicKey,
    der(tags.attributes)
  )
  const signature = sign("sha256", information, createPrivateKey(pair.privateKey))
  const request = der(
    tags.sequence,
    information,
    der(tags.sequence, oids.ecdsaWithSha256),
    // The first byte counts the bits that are left over.
    der(tags.bitString, Buffer.of(0), signature)
  )
  return { key: pair.privateKey, request: pem("CERTIFICATE REQUEST", request) }
}
