/**
 * Codecs for Confluent's wire format: a zero byte, the id of a schema in four bytes, big-endian,
 * and a value in Avro as that schema has it.
 *
 * A schema has its id for ever, so that each is asked for once. Writers and readers may have
 * different versions: what was written is resolved to the reader's.
 *
 * What is wrong with the bytes is a `CodecError`, and a pipeline takes the record for a dead
 * letter: no wire format, an id that the registry does not know, bytes that its schema does not
 * describe. That the registry does not answer says nothing about the record. It is asked again
 * until it does; a pipeline's transaction ends by its timeout meanwhile and the records are read
 * again, and after three times the pipeline fails with `TransactionTimedOut`. No record is lost to
 * an outage.
 */
import * as Topic from "@kafka-once/core/Topic"
import avro from "avsc"
import * as Cache from "effect/Cache"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HttpClient } from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

/** How a value of a topic is written: in Avro, and what the program makes of that. */
export interface AvroOptions<A, I> {
  /** Registries have a schema for keys and one for values of a topic. */
  readonly of: "key" | "value"
  readonly avro: avro.Schema
  readonly schema: Schema.Codec<A, I>
}

export interface ConfluentAvro {
  readonly codec: <A, I>(options: AvroOptions<A, I>) => Topic.Codec<A>
}

const magic = 0
const headerBytes = 5

const invalid = (problem: string): Topic.CodecError => new Topic.CodecError({ problem })

/** The registry cannot answer now. */
class Unavailable extends Data.TaggedError("Unavailable")<{}> {}

// For as long as it takes: whoever asks has a timeout of their own.
const untilAnswered = Schedule.min([
  Schedule.exponential("100 millis"),
  Schedule.spaced("2 seconds")
])

const Registered = Schema.Struct({ id: Schema.Int })
const Known = Schema.Struct({
  schema: Schema.String,
  schemaType: Schema.optional(Schema.String)
})

/** What is asked of a registry, each thing once. */
interface Registry {
  readonly writerOf: (id: number) => Effect.Effect<avro.Type, Topic.CodecError>
  readonly idOf: (subject: string, schema: string) => Effect.Effect<number, Topic.CodecError>
}

const ask = <A>(
  client: HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  answer: Schema.Codec<A, unknown>,
  refused: (status: number) => Topic.CodecError
): Effect.Effect<A, Topic.CodecError> =>
  Effect.gen(function*() {
    const response = yield* client.execute(request)
    const { status } = response
    if (status >= 500 || status === 429) return yield* new Unavailable()
    if (status !== 200) return yield* Effect.fail(refused(status))
    return yield* HttpClientResponse.schemaBodyJson(answer)(response)
  }).pipe(
    Effect.timeout("3 seconds"),
    Effect.mapError((error) => error._tag === "CodecError" ? error : new Unavailable()),
    Effect.retry({ schedule: untilAnswered, while: ({ _tag }) => _tag === "Unavailable" }),
    Effect.catchTag("Unavailable", Effect.die)
  )

const makeRegistry = (url: string): Effect.Effect<Registry, never, HttpClient> =>
  Effect.gen(function*() {
    const client = yield* HttpClient
    const writers = yield* Cache.makeWith((id: number) => {
      const request = HttpClientRequest.get(`${url}/schemas/ids/${id}`)
      const refused = (status: number) =>
        invalid(
          status === 404
            ? `names schema ${id}, which the registry does not know`
            : `names schema ${id}, which the registry refuses to tell (${status})`
        )
      return Effect.flatMap(
        ask(client, request, Known, refused),
        ({ schema, schemaType = "AVRO" }) =>
          Effect.try({
            try: () => avro.Type.forSchema(JSON.parse(schema)),
            catch: () => invalid(`names schema ${id}, which is ${schemaType} and no valid Avro`)
          })
      )
    }, {
      capacity: 1_000,
      // What was registered elsewhere a moment ago may not be known here yet.
      timeToLive: (exit) => Exit.isSuccess(exit) ? Number.POSITIVE_INFINITY : "10 seconds"
    })
    const ids = yield* Cache.make({
      capacity: 1_000,
      lookup: (key: string) => {
        const [subject, schema] = JSON.parse(key) as [string, string]
        const request = HttpClientRequest.post(
          `${url}/subjects/${encodeURIComponent(subject)}/versions`
        ).pipe(HttpClientRequest.bodyJsonUnsafe({ schema }))
        const refused = (status: number) =>
          invalid(`has a schema that the registry refuses (${status})`)
        return Effect.map(ask(client, request, Registered, refused), ({ id }) => id)
      }
    })
    return {
      writerOf: (id) => Cache.get(writers, id),
      idOf: (subject, schema) => Cache.get(ids, JSON.stringify([subject, schema]))
    }
  })

/** Codecs whose schemas are in the registry at a URL. */
export const make = (url: string): Effect.Effect<ConfluentAvro, never, HttpClient> =>
  Effect.map(makeRegistry(url), (registry) => ({
    codec: (options) => codecOver(registry, options)
  }))

const codecOver = <A, I>(
  registry: Registry,
  { avro: avroSchema, of, schema }: AvroOptions<A, I>
): Topic.Codec<A> => {
  const own = avro.Type.forSchema(avroSchema)
  const text = JSON.stringify(avroSchema)
  const resolverOf = resolvers(own)
  const decode = Schema.decodeUnknownExit(schema)
  const encode = Schema.encodeExit(schema)
  return {
    decode: (bytes) =>
      Effect.gen(function*() {
        if (bytes === null) return yield* Effect.fail(invalid("is missing"))
        const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        if (buffer.length < headerBytes || buffer[0] !== magic) {
          return yield* Effect.fail(invalid("is not in the wire format of a schema registry"))
        }
        const id = buffer.readUInt32BE(1)
        const writer = yield* registry.writerOf(id)
        const value = yield* Effect.try({
          try: (): unknown => own.fromBuffer(buffer.subarray(headerBytes), resolverOf(writer)),
          catch: () => invalid(`does not read as schema ${id}`)
        })
        return yield* Exit.mapError(
          decode(value),
          () => invalid(`has the form of schema ${id}, but not what is asked for`)
        )
      }),
    encode: (value, topic) =>
      Effect.gen(function*() {
        const plain = yield* Exit.mapError(
          encode(value),
          () => invalid("is not what the schema says")
        )
        const id = yield* registry.idOf(`${topic}-${of}`, text)
        const body = yield* Effect.try({
          try: () => own.toBuffer(plain),
          catch: () => invalid("is not what its Avro schema says")
        })
        const header = Buffer.alloc(headerBytes)
        header.writeUInt32BE(id, 1)
        return Buffer.concat([header, body])
      })
  }
}

/** How values of other versions become values of one's own; it throws where they cannot. */
const resolvers = (own: avro.Type) => {
  const known = new Map<avro.Type, ReturnType<avro.Type["createResolver"]>>()
  return (writer: avro.Type) => {
    const resolver = known.get(writer) ?? own.createResolver(writer)
    known.set(writer, resolver)
    return resolver
  }
}
