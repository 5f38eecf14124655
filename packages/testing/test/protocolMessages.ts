/** Random messages for every API and version, from a seed that the failing test prints. */
import type { FieldSchema, ScalarType } from "../src/internal/protocol/apiSchema.ts"
import type { Struct } from "../src/internal/protocol/messageCodec.ts"

export type NextInt = (below: number) => number

/** Mulberry32: small, seeded, and the same on every machine. */
export const makeRandom = (seed: number): NextInt => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const texts = ["", "a", "orders", "transaction-0", "ünïcode ✓", "😀", "x".repeat(200)]

const bytes = (next: NextInt, length: number) =>
  Buffer.from(Array.from({ length }, () => next(256)))

const integer = (next: NextInt, bits: number, signed: boolean): number => {
  const lowest = signed ? -(2 ** (bits - 1)) : 0
  const highest = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1
  return [lowest, highest, 0, 1, next(highest)][next(5)]!
}

const scalar = (type: ScalarType, next: NextInt): unknown => {
  switch (type) {
    case "bool":
      return next(2) === 1
    case "int8":
      return integer(next, 8, true)
    case "int16":
      return integer(next, 16, true)
    case "uint16":
      return integer(next, 16, false)
    case "int32":
      return integer(next, 32, true)
    case "uint32":
      return integer(next, 32, false)
    case "int64":
      return BigInt.asIntN(64, (BigInt(next(2 ** 32)) << 32n) | BigInt(next(2 ** 32)))
    case "float64":
      return next(1000) / 8
    case "string":
      return texts[next(texts.length)]
    case "uuid":
      return bytes(next, 16).toString("base64url")
    case "bytes":
    case "records":
      return bytes(next, next(40))
  }
}

const value = (field: FieldSchema, version: number, options: Options): unknown => {
  const { next } = options
  if (
    field.nullable !== undefined && version >= field.nullable[0] && version <= field.nullable[1]
  ) {
    if (next(4) === 0) return null
  }
  const one = () =>
    field.type === "struct"
      ? randomMessage(field.fields!, version, options)
      : scalar(field.type, next)
  return field.array === true ? Array.from({ length: next(4) }, one) : one()
}

const zeros: Readonly<Record<string, unknown>> = { string: "", bool: false, int64: 0n }

const isDefault = (field: FieldSchema, content: unknown): boolean => {
  if (Array.isArray(content)) return content.length === 0
  return content === (field.default === undefined ? zeros[field.type] ?? 0 : field.default)
}

export interface Options {
  readonly next: NextInt
  readonly flexible: boolean
  /** Kafka's own classes leave a tagged field out that holds its default. */
  readonly omitDefaults: boolean
}

export const randomMessage = (
  fields: ReadonlyArray<FieldSchema>,
  version: number,
  options: Options
): Struct => {
  const { next } = options
  const struct: Record<string, unknown> = {}
  for (const field of fields) {
    if (version < (field.from ?? 0) || version > (field.to ?? Infinity)) continue
    if (field.tag !== undefined && next(2) === 0) continue
    const content = value(field, version, options)
    if (field.tag !== undefined && options.omitDefaults && isDefault(field, content)) continue
    struct[field.name] = content
  }
  if (options.flexible && next(4) === 0) {
    struct["unknownTaggedFields"] = [
      { tag: 1000, data: bytes(next, next(10)) },
      { tag: 2 ** 30 + next(1000), data: bytes(next, 3) }
    ]
  }
  return struct
}
