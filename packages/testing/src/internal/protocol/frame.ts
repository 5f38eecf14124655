/**
 * Whole requests and responses: header and body, without the four bytes of the size before them
 * where a function is about a frame's content, with them where it makes bytes for a socket.
 *
 * Source: `common/message/{Request,Response}Header.json`; the header of an ApiVersions response is
 * always version 0 (KIP-511), so that a client can read it before it knows the broker.
 */
import * as Result from "effect/Result"
import type { ApiSchema, FieldSchema } from "./apiSchema.ts"
import * as ByteReader from "./byteReader.ts"
import * as ByteWriter from "./byteWriter.ts"
import { type apiNames, apis } from "./generated/apis.ts"
import type { Requests, Responses } from "./generated/messages.ts"
import * as MessageCodec from "./messageCodec.ts"
import { fromThrown, type ProtocolError, UnknownApi, UnsupportedVersion } from "./protocolError.ts"

export type ApiName = (typeof apiNames)[number]

/** A message to be written: every field may be left out and then has Kafka's default. */
export type Draft<A> = A extends bigint | number | string | boolean | null | undefined | Uint8Array
  ? A
  : A extends ReadonlyArray<infer Element> ? ReadonlyArray<Draft<Element>>
  : { readonly [Key in keyof A]?: Draft<A[Key]> | undefined }

export type RequestBody<Name extends ApiName> = Name extends keyof Requests ? Draft<Requests[Name]>
  : MessageCodec.Struct

export type ResponseBody<Name extends ApiName> = Name extends keyof Responses ? Responses[Name]
  : MessageCodec.Struct

export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
}

export interface DecodedRequest {
  readonly api: ApiName
  readonly header: RequestHeader
  readonly body: MessageCodec.Struct
}

export interface DecodedResponse {
  readonly correlationId: number
  readonly body: MessageCodec.Struct
}

export const apiVersionsKey = 18

const byKey = new Map(apis.map((api) => [api.key, api]))
const byName = new Map(apis.map((api) => [api.name, api]))

export const apiByKey = (key: number): ApiSchema | undefined => byKey.get(key)

export const apiByName = (name: string): ApiSchema | undefined => byName.get(name)

const codecs = new Map<ReadonlyArray<FieldSchema>, Map<number, MessageCodec.Codec<unknown>>>()

/** Codecs are compiled on first use: a process meets a few of the five hundred there are. */
const bodyCodec = (
  api: ApiSchema,
  direction: "request" | "response",
  version: number
): MessageCodec.Codec<MessageCodec.Struct> => {
  const fields = api[direction]
  let versions = codecs.get(fields)
  if (versions === undefined) {
    versions = new Map()
    codecs.set(fields, versions)
  }
  let codec = versions.get(version)
  if (codec === undefined) {
    if (version < api.versions[0] || version > api.versions[1]) {
      throw new UnsupportedVersion({
        api: api.name,
        version,
        from: api.versions[0],
        to: api.versions[1]
      })
    }
    codec = MessageCodec.makeStruct(fields, version, version >= api.flexible)
    versions.set(version, codec)
  }
  return codec as MessageCodec.Codec<MessageCodec.Struct>
}

const requireApi = (api: number | string): ApiSchema => {
  const schema = typeof api === "number" ? byKey.get(api) : byName.get(api)
  if (schema === undefined) throw new UnknownApi({ api })
  return schema
}

const emptyTags = new Uint8Array([0])

const headerTags = MessageCodec.makeStruct([], 0, true)

const responseHeaderIsFlexible = (api: ApiSchema, version: number): boolean =>
  version >= api.flexible && api.key !== apiVersionsKey

export const readRequestHeaderUnsafe = (reader: ByteReader.ByteReader): RequestHeader => {
  const apiKey = ByteReader.int16(reader)
  const apiVersion = ByteReader.int16(reader)
  const correlationId = ByteReader.int32(reader)
  const clientId = MessageCodec.nullableString.read(reader) as string | null
  const api = byKey.get(apiKey)
  if (api !== undefined && apiVersion >= api.flexible) headerTags.read(reader)
  return { apiKey, apiVersion, correlationId, clientId }
}

export const decodeRequestUnsafe = (content: Uint8Array): DecodedRequest => {
  const reader = ByteReader.make(content)
  const header = readRequestHeaderUnsafe(reader)
  const api = requireApi(header.apiKey)
  const body = bodyCodec(api, "request", header.apiVersion).read(reader)
  requireEnd(reader)
  return { api: api.name as ApiName, header, body }
}

const requireEnd = (reader: ByteReader.ByteReader): void => {
  if (ByteReader.leftBytes(reader) > 0) {
    throw ByteReader.malformed(reader, `${ByteReader.leftBytes(reader)} bytes after the message`)
  }
}

export const decodeResponseUnsafe = (
  api: ApiName,
  version: number,
  content: Uint8Array
): DecodedResponse => {
  const schema = requireApi(api)
  const reader = ByteReader.make(content)
  const correlationId = ByteReader.int32(reader)
  if (responseHeaderIsFlexible(schema, version)) headerTags.read(reader)
  const body = bodyCodec(schema, "response", version).read(reader)
  requireEnd(reader)
  return { correlationId, body }
}

export const encodeRequestUnsafe = <Name extends ApiName>(
  api: Name,
  header: Omit<RequestHeader, "apiKey">,
  body: RequestBody<Name>
): Buffer => {
  const schema = requireApi(api)
  const writer = ByteWriter.make()
  ByteWriter.int32(writer, 0)
  ByteWriter.int16(writer, schema.key)
  ByteWriter.int16(writer, header.apiVersion)
  ByteWriter.int32(writer, header.correlationId)
  MessageCodec.nullableString.write(writer, header.clientId, "clientId")
  if (header.apiVersion >= schema.flexible) ByteWriter.raw(writer, emptyTags)
  bodyCodec(schema, "request", header.apiVersion).write(writer, body, "")
  return withSize(writer)
}

export const encodeResponseUnsafe = (
  api: ApiName,
  version: number,
  correlationId: number,
  body: MessageCodec.Struct
): Buffer => {
  const schema = requireApi(api)
  const writer = ByteWriter.make()
  ByteWriter.int32(writer, 0)
  ByteWriter.int32(writer, correlationId)
  if (responseHeaderIsFlexible(schema, version)) ByteWriter.raw(writer, emptyTags)
  bodyCodec(schema, "response", version).write(writer, body, "")
  return withSize(writer)
}

const withSize = (writer: ByteWriter.ByteWriter): Buffer => {
  const bytes = ByteWriter.finish(writer)
  bytes.writeInt32BE(bytes.length - 4, 0)
  return bytes
}

/**
 * Reads a request: the content of its frame, without the size.
 */
export const decodeRequest = (content: Uint8Array): Result.Result<DecodedRequest, ProtocolError> =>
  Result.try({
    try: () => decodeRequestUnsafe(content),
    catch: fromThrown("decodeRequest")
  })

/**
 * Reads a response: the content of its frame, without the size. Which API and version it answers
 * is known from the correlation id alone.
 */
export const decodeResponse = (
  api: ApiName,
  version: number,
  content: Uint8Array
): Result.Result<DecodedResponse, ProtocolError> =>
  Result.try({
    try: () => decodeResponseUnsafe(api, version, content),
    catch: fromThrown(`decodeResponse ${api} v${version}`)
  })

/**
 * Makes the bytes of a request, size included.
 */
export const encodeRequest = <Name extends ApiName>(
  api: Name,
  header: Omit<RequestHeader, "apiKey">,
  body: RequestBody<Name>
): Result.Result<Buffer, ProtocolError> =>
  Result.try({
    try: () => encodeRequestUnsafe(api, header, body),
    catch: fromThrown(`encodeRequest ${api} v${header.apiVersion}`)
  })

/**
 * Makes the bytes of a response, size included.
 */
export const encodeResponse = (
  api: ApiName,
  version: number,
  correlationId: number,
  body: MessageCodec.Struct
): Result.Result<Buffer, ProtocolError> =>
  Result.try({
    try: () => encodeResponseUnsafe(api, version, correlationId, body),
    catch: fromThrown(`encodeResponse ${api} v${version}`)
  })

/**
 * Makes the bytes of a message body alone, for the tests that compare with Kafka's own classes.
 */
export const encodeBodyUnsafe = (
  api: ApiName,
  direction: "request" | "response",
  version: number,
  body: MessageCodec.Struct
): Buffer => {
  const writer = ByteWriter.make()
  bodyCodec(requireApi(api), direction, version).write(writer, body, "")
  return ByteWriter.finish(writer)
}

export const decodeBodyUnsafe = (
  api: ApiName,
  direction: "request" | "response",
  version: number,
  content: Uint8Array
): MessageCodec.Struct => {
  const reader = ByteReader.make(content)
  const body = bodyCodec(requireApi(api), direction, version).read(reader)
  requireEnd(reader)
  return body
}
