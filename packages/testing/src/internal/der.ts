/** ASN.1 in its distinguished encoding (X.690), as far as a certificate and its request need it. */

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
  /** Fields that have a number in place of a type: the attributes of a request. */
  attributes: 0xa0,
  /** Of a certificate. */
  version: 0xa0,
  extensions: 0xa3,
  /** Of an alternative name. */
  dnsName: 0x82,
  ipAddress: 0x87
} as const

export const der = (tag: number, ...contents: ReadonlyArray<Buffer>): Buffer => {
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

const oid = (...bytes: ReadonlyArray<number>): Buffer =>
  der(tags.objectIdentifier, Buffer.from(bytes))

export const oids = {
  /** 2.5.4.3 */
  commonName: oid(0x55, 0x04, 0x03),
  /** 2.5.29.17 */
  subjectAlternativeName: oid(0x55, 0x1d, 0x11),
  /** 2.5.29.19 */
  basicConstraints: oid(0x55, 0x1d, 0x13),
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)
} as const

/** A name of this common name and nothing else. */
export const nameOf = (commonName: string): Buffer => {
  const attribute = der(
    tags.sequence,
    oids.commonName,
    der(tags.utf8String, Buffer.from(commonName))
  )
  return der(tags.sequence, der(tags.set, attribute))
}

export const pem = (label: string, bytes: Buffer): string =>
  [
    `-----BEGIN ${label}-----`,
    ...bytes.toString("base64").match(/.{1,64}/g) ?? [],
    `-----END ${label}-----`,
    ""
  ].join("\n")
