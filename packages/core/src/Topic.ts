/**
 * A topic with what its keys and values are.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import type { FetchedRecord } from "./ConsumerDriver.ts"
import { decodeUtf8Strictly, encodeUtf8 } from "./internal/utf8.ts"
import type { ProducerRecord } from "./ProducerRecord.ts"

/**
 * Bytes that are not what a codec takes, or a value that it cannot write.
 *
 * **Details**
 *
 * *Shape*: `problem` is for people. It names what was expected, and never holds the bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export class CodecError extends Data.TaggedError("CodecError")<{ readonly problem: string }> {
  override get message(): string {
    return this.problem
  }
}

/**
 * How a key or a value is written as bytes, and read.
 *
 * **Details**
 *
 * *Shape*: `null` stands for no key, and for the value of a tombstone. Both functions are told the
 * topic, which schema registries name their subjects by.
 *
 * **When to use**
 *
 * Use {@link bytes}, {@link text} or {@link json}; implement it for anything else, as for the wire
 * format of a schema registry, whose look-ups its effects can do.
 *
 * **Gotchas**
 *
 * What fails is the record's fault: a pipeline puts it among the dead letters. A look-up that
 * cannot be answered now, as of a registry that is being restarted, must wait and not fail.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<A> {
  readonly decode: (bytes: Uint8Array | null, topic: string) => Effect.Effect<A, CodecError>
  readonly encode: (value: A, topic: string) => Effect.Effect<Uint8Array | null, CodecError>
}

/**
 * A topic with what its keys and values are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Topic<K, V> {
  readonly name: string
  readonly key: Codec<K>
  readonly value: Codec<V>
}

/**
 * A record that has been decoded.
 *
 * **Details**
 *
 * *Units and bounds*: `timestamp` is in milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decoded<K, V> {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly timestamp: bigint
  readonly headers: FetchedRecord["headers"]
  readonly key: K
  readonly value: V
}

/**
 * The bytes as they are.
 *
 * @category codecs
 * @since 0.1.0
 */
export const bytes: Codec<Uint8Array | null> = {
  decode: Effect.succeed,
  encode: Effect.succeed
}

/**
 * Text in UTF-8, or `null`. Bytes that are not UTF-8 do not decode.
 *
 * @category codecs
 * @since 0.1.0
 */
export const text: Codec<string | null> = {
  decode: (from) => {
    const decoded = from === null ? null : decodeUtf8Strictly(from)
    return from !== null && decoded === null ? notUtf8 : Effect.succeed(decoded)
  },
  encode: (value) => Effect.succeed(value === null ? null : encodeUtf8(value))
}

const notUtf8 = Effect.fail(new CodecError({ problem: "is not UTF-8" }))

/**
 * JSON in UTF-8, as a schema has it. A tombstone does not decode; see {@link nullable}.
 *
 * **Details**
 *
 * *Shape*: the schema's encoded side is what is in the JSON.
 *
 * @category codecs
 * @since 0.1.0
 */
export const json = <A, I>(schema: Schema.Codec<A, I>): Codec<A> => {
  const codec = Schema.fromJsonString(schema)
  // What needs no service is decoded at once, without a step of an effect for each record.
  const decode = Schema.decodeExit(codec)
  const encode = Schema.encodeExit(codec)
  return {
    decode: (from) => {
      if (from === null) return missing
      const decoded = decodeUtf8Strictly(from)
      return decoded === null ? notUtf8 : Exit.mapError(decode(decoded), toCodecError)
    },
    encode: (value) =>
      Exit.mapBoth(encode(value), { onSuccess: encodeUtf8, onFailure: toCodecError })
  }
}

const missing = Effect.fail(new CodecError({ problem: "is missing" }))

// A schema's message quotes what it found, which may be anybody's data; the path alone does not.
const toCodecError = (error: Schema.SchemaError): CodecError =>
  new CodecError({ problem: problemOf(error) })

const problemOf = ({ issue }: Schema.SchemaError): string => {
  const path = pathOf(issue)
  return path.length === 0
    ? "is not what the schema says"
    : `is not what the schema says at ${path.map(String).join(".")}`
}

// The path to the first of what is wrong.
const pathOf = (issue: SchemaIssue.Issue): ReadonlyArray<PropertyKey> => {
  switch (issue._tag) {
    case "Pointer":
      return [...issue.path, ...pathOf(issue.issue)]
    case "Composite":
      return pathOf(issue.issues[0])
    case "Encoding":
    case "Filter":
      return pathOf(issue.issue)
    default:
      return []
  }
}

/**
 * A codec for which `null` is a value, too: no key, or a tombstone.
 *
 * @category codecs
 * @since 0.1.0
 */
export const nullable = <A>(codec: Codec<A>): Codec<A | null> => ({
  decode: (from, topic) => from === null ? Effect.succeed(null) : codec.decode(from, topic),
  encode: (value, topic) => value === null ? Effect.succeed(null) : codec.encode(value, topic)
})

/**
 * Makes a topic; keys and values are bytes unless a codec says otherwise.
 *
 * **Example** (A topic of JSON)
 *
 * ```ts
 * import * as Topic from "@kafka-once/core/Topic"
 * import * as Schema from "effect/Schema"
 *
 * export const orders = Topic.make({
 *   name: "orders",
 *   key: Topic.text,
 *   value: Topic.json(Schema.Struct({ amount: Schema.Finite }))
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K = Uint8Array | null, V = Uint8Array | null>(options: {
  readonly name: string
  readonly key?: Codec<K> | undefined
  readonly value?: Codec<V> | undefined
}): Topic<K, V> => ({
  name: options.name,
  // Without a codec the type parameters are those of bytes.
  key: options.key ?? bytes as unknown as Codec<K>,
  value: options.value ?? bytes as unknown as Codec<V>
})

/**
 * A record of a topic, encoded, to send in a transaction.
 *
 * @category operations
 * @since 0.1.0
 */
export const record = <K, V>(
  topic: Topic<K, V>,
  record: { readonly key: K; readonly value: V } & Pick<ProducerRecord, "headers" | "timestamp">
): Effect.Effect<ProducerRecord, CodecError> =>
  Effect.zipWith(
    topic.key.encode(record.key, topic.name),
    topic.value.encode(record.value, topic.name),
    (key, value) => ({
      topic: topic.name,
      key,
      value,
      headers: record.headers,
      timestamp: record.timestamp
    })
  )
