/** A certificate that signs itself (X.509, RFC 5280), for a server of this machine. */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto"
import { der, nameOf, oids, pem, tags } from "./der.ts"

export interface SelfSigned {
  /** The certificate as PEM: what the server shows, and what a client has to trust. */
  readonly cert: string
  /** The private key: PKCS 8 as PEM. */
  readonly key: string
}

const dayMillis = 86_400_000

/** Valid for 127.0.0.1 and localhost, from yesterday on, for a month. */
export const make = (nowMillis: number): SelfSigned => {
  const pair = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" }
  })
  const name = nameOf("kafka-once fault proxy")
  const algorithm = der(tags.sequence, oids.ecdsaWithSha256)
  const certificate = der(
    tags.sequence,
    der(tags.version, der(tags.integer, Buffer.of(2))),
    // The first byte keeps it positive.
    der(tags.integer, Buffer.of(1), randomBytes(15)),
    algorithm,
    name,
    der(tags.sequence, timeOf(nowMillis - dayMillis), timeOf(nowMillis + 30 * dayMillis)),
    name,
    pair.publicKey,
    der(tags.extensions, der(tags.sequence, names, authority))
  )
  const signature = sign("sha256", certificate, createPrivateKey(pair.privateKey))
  const cert = der(
    tags.sequence,
    certificate,
    algorithm,
    // The first byte counts the bits that are left over.
    der(tags.bitString, Buffer.of(0), signature)
  )
  return { cert: pem("CERTIFICATE", cert), key: pair.privateKey }
}

const yes = der(tags.boolean, Buffer.of(0xff))

const names = der(
  tags.sequence,
  oids.subjectAlternativeName,
  der(
    tags.octetString,
    der(
      tags.sequence,
      der(tags.dnsName, Buffer.from("localhost")),
      der(tags.ipAddress, Buffer.of(127, 0, 0, 1))
    )
  )
)

/** Clients trust it as an authority, too, which some insist on. */
const authority = der(
  tags.sequence,
  oids.basicConstraints,
  yes,
  der(tags.octetString, der(tags.sequence, yes))
)

/** `YYMMDDhhmmssZ`, which is for years before 2050. */
const timeOf = (millis: number): Buffer => {
  const text = new Date(millis).toISOString().replaceAll(/[-:T]|\.\d+/g, "").slice(2)
  return der(tags.utcTime, Buffer.from(text))
}
