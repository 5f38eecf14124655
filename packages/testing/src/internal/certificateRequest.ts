/**
 * A key, and the request (PKCS 10, RFC 2986) to have it certified.
 *
 * `keytool` makes both, but gives no private key out of its store, and clients that are not Java
 * need it as PEM.
 */
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto"

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
  const attribute = der(sequence, oids.commonName, der(utf8String, Buffer.from(commonName)))
  const information = der(
    sequence,
    der(integer, Buffer.of(0)),
    der(sequence, der(set, attribute)),
    pair.publicKey,
    der(attributes)
  )
  const signature = sign("sha256", information, createPrivateKey(pair.privateKey))
  const request = der(
    sequence,
    information,
    der(sequence, oids.ecdsaWithSha256),
    // The first byte counts the bits that are left over.
    der(bitString, Buffer.of(0), signature)
  )
  return { key: pair.privateKey, request: pem("CERTIFICATE REQUEST", request) }
}

// Tags of ASN.1.
const integer = 0x02
const bitString = 0x03
const objectIdentifier = 0x06
const utf8String = 0x0c
const sequence = 0x30
const set = 0x31
/** The first field that has a number in place of a type: the attributes of a request. */
const attributes = 0xa0

const der = (tag: number, ...contents: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(contents)
  return Buffer.concat([Buffer.of(tag), lengthOf(content), content])
}

/** Everything here is shorter than 64 KiB. */
const lengthOf = ({ length }: Buffer): Buffer =>
  length < 0x80
    ? Buffer.of(length)
    : length < 0x1_00
    ? Buffer.of(0x81, length)
    : Buffer.of(0x82, length >> 8, length & 0xff)

const oids = {
  /** 2.5.4.3 */
  commonName: der(objectIdentifier, Buffer.of(0x55, 0x04, 0x03)),
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: der(
    objectIdentifier,
    Buffer.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)
  )
}

const pem = (label: string, bytes: Buffer): string =>
  [
    `-----BEGIN ${label}-----`,
    ...bytes.toString("base64").match(/.{1,64}/g) ?? [],
    `-----END ${label}-----`,
    ""
  ].join("\n")
