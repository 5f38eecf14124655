/**
 * Turns the table of a message into a reader and a writer for one version of it.
 *
 * A decoded message is a plain object with the field names of Kafka's own definitions in camel
 * case. A field that the version does not have is absent. A tagged field is there only if it was
 * on the wire, and is written only if it is there; tags that the table does not know are kept
 * under `unknownTaggedFields`. So what is read and written again is the same bytes.
 */
import type { FieldDefault, FieldSchema, ScalarType } from "./apiSchema.ts"
import * as ByteReader from "./byteReader.ts"
import * as ByteWriter from "./byteWriter.ts"
import { InvalidValue } from "./protocolError.ts"

export interface UnknownTaggedField {
  readonly tag: number
  readonly data: Uint8Array
}

export type Struct = { readonly [field: string]: unknown }

export interface Codec<A> {
  /** The least that a value takes, so that an array's length can be refused before it is read. */
  readonly leastBytes: number
  readonly read: (reader: ByteReader.ByteReader) => A
  readonly write: (writer: ByteWriter.ByteWriter, value: unknown, path: string) => void
}

const invalid = (field: string, problem: string): InvalidValue =>
  new InvalidValue({ field: field === "" ? "message" : field, problem })

const describe = (value: unknown): string =>
  value === null || value === undefined || typeof value === "number" || typeof value === "bigint"
    ? String(value)
    : typeof value

/**
 * The codec of a message body.
 */
export const makeStruct = (
  fields: ReadonlyArray<FieldSchema>,
  version: number,
  flexible: boolean
): Codec<Struct> => {
  const known = new Set(fields.map((field) => field.name))
  const present = fields
    .filter((field) => version >= (field.from ?? 0) && version <= (field.to ?? Infinity))
    .map((schema) => ({ schema, codec: makeField(schema, version, flexible) }))
  const plain = present.filter(({ schema }) => schema.tag === undefined)
  const tagged = present.filter(({ schema }) => schema.tag !== undefined)
    .sort((left, right) => left.schema.tag! - right.schema.tag!)
  const tags = makeTags(tagged)

  return {
    leastBytes: plain.reduce((sum, { codec }) => sum + codec.leastBytes, flexible ? 1 : 0),
    read: (reader) => {
      const struct: Record<string, unknown> = {}
      for (const { codec, schema } of plain) struct[schema.name] = codec.read(reader)
      if (flexible) tags.read(reader, struct)
      return struct
    },
    write: (writer, value, path) => {
      if (typeof value !== "object" || value === null) {
        throw invalid(path, `a structure is needed, not ${describe(value)}`)
      }
      const struct = value as Struct
      for (const name of Object.keys(struct)) {
        if (!known.has(name) && name !== "unknownTaggedFields") {
          throw invalid(path, `there is no field ${name}`)
        }
      }
      for (const { codec, schema } of plain) {
        const field = struct[schema.name]
        codec.write(writer, field === undefined ? defaultOf(schema) : field, join(path, schema))
      }
      if (flexible) tags.write(writer, struct, path)
    }
  }
}

const join = (path: string, schema: FieldSchema): string =>
  path === "" ? schema.name : `${path}.${schema.name}`

interface Field {
  readonly schema: FieldSchema
  readonly codec: Codec<unknown>
}

/** The tagged fields at the end of a flexible structure (KIP-482), in the order of their tags. */
const makeTags = (tagged: ReadonlyArray<Field>) => {
  const byTag = new Map(tagged.map((field) => [field.schema.tag!, field]))
  return {
    read: (reader: ByteReader.ByteReader, struct: Record<string, unknown>): void => {
      const unknownTags: Array<UnknownTaggedField> = []
      let previous = -1
      for (let left = ByteReader.unsignedVarint(reader); left > 0; left--) {
        const tag = ByteReader.unsignedVarint(reader)
        if (tag <= previous) throw ByteReader.malformed(reader, `tag ${tag} after ${previous}`)
        previous = tag
        const data = ByteReader.raw(reader, ByteReader.unsignedVarint(reader))
        const field = byTag.get(tag)
        if (field === undefined) {
          unknownTags.push({ tag, data })
          continue
        }
        const inner = ByteReader.make(data)
        struct[field.schema.name] = field.codec.read(inner)
        if (ByteReader.leftBytes(inner) > 0) {
          throw ByteReader.malformed(reader, `bytes left over in the tagged field ${tag}`)
        }
      }
      if (unknownTags.length > 0) struct["unknownTaggedFields"] = unknownTags
    },
    write: (writer: ByteWriter.ByteWriter, struct: Struct, path: string): void => {
      const entries: Array<UnknownTaggedField> = []
      for (const { codec, schema } of tagged) {
        const value = struct[schema.name]
        if (value === undefined) continue
        const inner = ByteWriter.make()
        codec.write(inner, value, join(path, schema))
        entries.push({ tag: schema.tag!, data: ByteWriter.finish(inner) })
      }
      const unknownTags = struct["unknownTaggedFields"] as ReadonlyArray<UnknownTaggedField>
      if (unknownTags !== undefined) {
        entries.push(...unknownTags)
        entries.sort((left, right) => left.tag - right.tag)
      }
      ByteWriter.unsignedVarint(writer, entries.length)
      for (const { data, tag } of entries) {
        ByteWriter.unsignedVarint(writer, tag)
        ByteWriter.unsignedVarint(writer, data.length)
        ByteWriter.raw(writer, data)
      }
    }
  }
}

const makeField = (schema: FieldSchema, version: number, flexible: boolean): Codec<unknown> => {
  const nullable = schema.nullable !== undefined && version >= schema.nullable[0] &&
    version <= schema.nullable[1]
  if (schema.array === true) {
    const element = schema.type === "struct"
      ? makeStruct(schema.fields!, version, flexible)
      : makeScalar(schema.type, false, flexible)
    return makeArray(element, nullable, flexible)
  }
  if (schema.type !== "struct") return makeScalar(schema.type, nullable, flexible)
  const struct = makeStruct(schema.fields!, version, flexible)
  return nullable ? makeNullableStruct(struct) : struct
}

/** What a field holds when the message to be written leaves it out, as in Kafka's own classes. */
const defaultOf = (schema: FieldSchema): unknown => {
  if (schema.default !== undefined) return schema.default
  if (schema.array === true) return []
  return schema.type === "struct" ? {} : zeros[schema.type]
}

const emptyBytes = new Uint8Array(0)

const zeros: Readonly<Record<ScalarType, FieldDefault | Uint8Array>> = {
  bool: false,
  int8: 0,
  int16: 0,
  uint16: 0,
  int32: 0,
  uint32: 0,
  int64: 0n,
  float64: 0,
  string: "",
  uuid: "AAAAAAAAAAAAAAAAAAAAAA",
  bytes: emptyBytes,
  records: emptyBytes
}

/** A structure that may be null has a byte before it: 1 for there, -1 for null. */
const makeNullableStruct = (struct: Codec<Struct>): Codec<Struct | null> => ({
  leastBytes: 1,
  read: (reader) => {
    const marker = ByteReader.int8(reader)
    if (marker === -1) return null
    if (marker !== 1) throw ByteReader.malformed(reader, `marker ${marker} of a structure`)
    return struct.read(reader)
  },
  write: (writer, value, path) => {
    ByteWriter.int8(writer, value === null ? -1 : 1)
    if (value !== null) struct.write(writer, value, path)
  }
})

interface Lengths {
  readonly leastBytes: number
  readonly read: (reader: ByteReader.ByteReader) => number
  readonly write: (writer: ByteWriter.ByteWriter, length: number) => void
}

/** Compact lengths are one more than they say; 0 is null, which reads as -1. */
const compactLengths: Lengths = {
  leastBytes: 1,
  read: (reader) => ByteReader.unsignedVarint(reader) - 1,
  write: (writer, length) => ByteWriter.unsignedVarint(writer, length + 1)
}

const shortLengths: Lengths = { leastBytes: 2, read: ByteReader.int16, write: ByteWriter.int16 }

const intLengths: Lengths = { leastBytes: 4, read: ByteReader.int32, write: ByteWriter.int32 }

const readLength = (
  reader: ByteReader.ByteReader,
  lengths: Lengths,
  nullable: boolean
): number => {
  const length = lengths.read(reader)
  if (length < -1 || (length === -1 && !nullable)) {
    throw ByteReader.malformed(reader, `length ${length}`)
  }
  return length
}

const makeArray = (
  element: Codec<unknown>,
  nullable: boolean,
  flexible: boolean
): Codec<unknown> => {
  const lengths = flexible ? compactLengths : intLengths
  return {
    leastBytes: lengths.leastBytes,
    read: (reader) => {
      const length = readLength(reader, lengths, nullable)
      if (length === -1) return null
      if (length * Math.max(1, element.leastBytes) > ByteReader.leftBytes(reader)) {
        throw ByteReader.malformed(reader, `an array of ${length} elements`)
      }
      const elements: Array<unknown> = []
      for (let index = 0; index < length; index++) elements.push(element.read(reader))
      return elements
    },
    write: (writer, value, path) => {
      if (value === null && nullable) return lengths.write(writer, -1)
      if (!Array.isArray(value)) {
        throw invalid(path, `an array is needed, not ${describe(value)}`)
      }
      lengths.write(writer, value.length)
      for (let index = 0; index < value.length; index++) {
        element.write(writer, value[index], `${path}[${index}]`)
      }
    }
  }
}

const makeScalar = (type: ScalarType, nullable: boolean, flexible: boolean): Codec<unknown> => {
  switch (type) {
    case "string":
      return makeString(nullable, flexible ? compactLengths : shortLengths, flexible)
    case "bytes":
    case "records":
      return makeBytes(nullable, flexible ? compactLengths : intLengths)
    default:
      return fixed[type]
  }
}

/** The codec of a string outside a message body: the client id of a request header. */
export const nullableString: Codec<unknown> = {
  leastBytes: 2,
  read: (reader) => makeString(true, shortLengths, false).read(reader),
  write: (writer, value, path) => makeString(true, shortLengths, false).write(writer, value, path)
}

const makeString = (nullable: boolean, lengths: Lengths, flexible: boolean): Codec<unknown> => ({
  leastBytes: lengths.leastBytes,
  read: (reader) => {
    const length = readLength(reader, lengths, nullable)
    return length === -1 ? null : ByteReader.text(reader, length)
  },
  write: (writer, value, path) => {
    if (value === null && nullable) return lengths.write(writer, -1)
    if (typeof value !== "string") {
      throw invalid(path, `a string is needed, not ${describe(value)}`)
    }
    const bytes = Buffer.from(value, "utf8")
    if (!flexible && bytes.length > 0x7fff) throw invalid(path, "a string above 32767 bytes")
    lengths.write(writer, bytes.length)
    ByteWriter.raw(writer, bytes)
  }
})

const makeBytes = (nullable: boolean, lengths: Lengths): Codec<unknown> => ({
  leastBytes: lengths.leastBytes,
  read: (reader) => {
    const length = readLength(reader, lengths, nullable)
    return length === -1 ? null : ByteReader.raw(reader, length)
  },
  write: (writer, value, path) => {
    if (value === null && nullable) return lengths.write(writer, -1)
    if (!(value instanceof Uint8Array)) {
      throw invalid(path, `bytes are needed, not ${describe(value)}`)
    }
    lengths.write(writer, value.length)
    ByteWriter.raw(writer, value)
  }
})

const makeInteger = (
  leastBytes: number,
  read: (reader: ByteReader.ByteReader) => number,
  write: (writer: ByteWriter.ByteWriter, value: number) => void,
  lowest: number,
  highest: number
): Codec<unknown> => ({
  leastBytes,
  read,
  write: (writer, value, path) => {
    if (!Number.isInteger(value) || (value as number) < lowest || (value as number) > highest) {
      throw invalid(path, `an integer of ${lowest} to ${highest} is needed, not ${describe(value)}`)
    }
    write(writer, value as number)
  }
})

const fixed: Readonly<Record<Exclude<ScalarType, "string" | "bytes" | "records">, Codec<unknown>>> =
  {
    bool: {
      leastBytes: 1,
      read: ByteReader.bool,
      write: (writer, value, path) => {
        if (typeof value !== "boolean") {
          throw invalid(path, `a boolean is needed, not ${describe(value)}`)
        }
        ByteWriter.int8(writer, value ? 1 : 0)
      }
    },
    int8: makeInteger(1, ByteReader.int8, ByteWriter.int8, -0x80, 0x7f),
    int16: makeInteger(2, ByteReader.int16, ByteWriter.int16, -0x8000, 0x7fff),
    uint16: makeInteger(2, ByteReader.uint16, ByteWriter.uint16, 0, 0xffff),
    int32: makeInteger(4, ByteReader.int32, ByteWriter.int32, -0x80000000, 0x7fffffff),
    uint32: makeInteger(4, ByteReader.uint32, ByteWriter.uint32, 0, 0xffffffff),
    int64: {
      leastBytes: 8,
      read: ByteReader.int64,
      write: (writer, value, path) => {
        if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) {
          throw invalid(path, `a bigint of 64 bits is needed, not ${describe(value)}`)
        }
        ByteWriter.int64(writer, value)
      }
    },
    float64: {
      leastBytes: 8,
      read: ByteReader.float64,
      write: (writer, value, path) => {
        if (typeof value !== "number") {
          throw invalid(path, `a number is needed, not ${describe(value)}`)
        }
        ByteWriter.float64(writer, value)
      }
    },
    uuid: {
      leastBytes: 16,
      read: ByteReader.uuid,
      write: (writer, value, path) => {
        const bytes = typeof value === "string" ? Buffer.from(value, "base64url") : emptyBytes
        if (bytes.length !== 16) {
          throw invalid(path, "a uuid of 22 base64url characters is needed, as Kafka prints it")
        }
        ByteWriter.raw(writer, bytes)
      }
    }
  }
