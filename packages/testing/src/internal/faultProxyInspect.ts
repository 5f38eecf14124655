/**
 * What the proxy wants to know of a request and of a response: whose transaction, which producer,
 * which topics, which error.
 */
import * as Result from "effect/Result"
import type { ApiSchema } from "./protocol/apiSchema.ts"
import * as ByteReader from "./protocol/byteReader.ts"
import * as Frame from "./protocol/frame.ts"
import type { Struct } from "./protocol/messageCodec.ts"
import { producerIdPosition } from "./protocol/recordBatch.ts"

export interface RequestFacts {
  readonly transactionalId: string | null
  readonly producerId: bigint | null
  readonly producerEpoch: number | null
  readonly commit: boolean | null
  /** Names of topics, or their ids where the version has no names. */
  readonly topics: ReadonlyArray<string>
  /** A Produce with acks=0 is never answered. */
  readonly isAnswered: boolean
}

export const noFacts: RequestFacts = {
  transactionalId: null,
  producerId: null,
  producerEpoch: null,
  commit: null,
  topics: [],
  isAnswered: true
}

export interface ResponseFacts {
  readonly errorCode: number | null
  readonly producerId: bigint | null
  readonly producerEpoch: number | null
}

/** Small requests that say something about a transaction: always read whole for the log. */
const transactionApis: ReadonlySet<string> = new Set([
  "InitProducerId",
  "AddPartitionsToTxn",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn",
  "FindCoordinator"
])

/** Whether requests of the API are read for the log even if no rule asks. */
export const isLogged = (api: string): boolean => transactionApis.has(api)

const text = (value: unknown): string | null =>
  typeof value === "string" && value !== "" ? value : null

const arrayOf = (value: unknown): ReadonlyArray<Struct> =>
  Array.isArray(value) ? (value as ReadonlyArray<Struct>) : []

const firstText = (values: unknown): string | null => Array.isArray(values) ? text(values[0]) : null

const transactionalIdOf = (api: string, body: Struct): string | null => {
  if (api === "FindCoordinator") {
    return body["keyType"] === 1 ? text(body["key"]) ?? firstText(body["coordinatorKeys"]) : null
  }
  return text(body["transactionalId"]) ?? text(body["v3AndBelowTransactionalId"]) ??
    text(arrayOf(body["transactions"])[0]?.["transactionalId"])
}

/** AddPartitionsToTxn has its fields once per transaction since version 4. */
const producerOf = (body: Struct): Struct => arrayOf(body["transactions"])[0] ?? body

/** Everything about topics in a request lies in an array of structures or of names. */
const topicsOf = (body: Struct): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (const value of Object.values(body)) {
    if (!Array.isArray(value)) continue
    for (const element of value as ReadonlyArray<unknown>) {
      if (typeof element === "string") names.push(element)
      if (typeof element !== "object" || element === null) continue
      const struct = element as Struct
      const name = text(struct["name"]) ?? text(struct["topic"]) ?? text(struct["topicId"])
      if (name !== null) names.push(name)
      else names.push(...topicsOf(struct))
    }
  }
  return names
}

/** Reads the facts from a decoded request. Those of a Produce come from {@link produceHead}. */
export const requestFacts = (api: string, body: Struct, head: RequestFacts): RequestFacts => {
  const topics = topicsOf(body)
  if (api === "Produce") return { ...head, topics }
  const producer = producerOf(body)
  const producerId = producer["producerId"] ?? producer["v3AndBelowProducerId"]
  const producerEpoch = producer["producerEpoch"] ?? producer["v3AndBelowProducerEpoch"]
  return {
    transactionalId: transactionalIdOf(api, body),
    producerId: typeof producerId === "bigint" ? producerId : null,
    producerEpoch: typeof producerEpoch === "number" ? producerEpoch : null,
    commit: typeof body["committed"] === "boolean" ? body["committed"] : null,
    topics,
    isAnswered: true
  }
}

/**
 * Reads the start of a Produce as far as its first batch, which names the producer, without the
 * records. `null`: more bytes are needed, and will come.
 */
export const produceHead = (
  api: ApiSchema,
  content: Buffer,
  size: number
): RequestFacts | null => {
  const read = Result.try({
    try: () => readProduceHead(api, content),
    catch: () => null
  })
  if (Result.isSuccess(read)) return read.success
  return content.length < size && content.length < 4096 ? null : noFacts
}

const readProduceHead = (api: ApiSchema, content: Buffer): RequestFacts => {
  const reader = ByteReader.make(content)
  const { apiVersion } = Frame.readRequestHeaderUnsafe(reader)
  const flexible = apiVersion >= api.flexible
  const shortText = (): string | null => {
    const length = flexible ? ByteReader.unsignedVarint(reader) - 1 : ByteReader.int16(reader)
    return length < 0 ? null : ByteReader.text(reader, length)
  }
  const count = () => flexible ? ByteReader.unsignedVarint(reader) - 1 : ByteReader.int32(reader)
  const transactionalId = shortText()
  const isAnswered = ByteReader.int16(reader) !== 0
  ByteReader.int32(reader)
  const facts = { ...noFacts, transactionalId, isAnswered }
  if (count() <= 0) return facts
  if (apiVersion >= 13) ByteReader.uuid(reader)
  else shortText()
  if (count() <= 0) return facts
  ByteReader.int32(reader)
  if (count() < producerIdPosition + 10) return facts
  ByteReader.raw(reader, producerIdPosition)
  return { ...facts, producerId: ByteReader.int64(reader), producerEpoch: ByteReader.int16(reader) }
}

/** Reads the facts from a decoded response: the first error code that is not 0, anywhere. */
export const responseFacts = (body: Struct): ResponseFacts => ({
  errorCode: firstError(body),
  producerId: typeof body["producerId"] === "bigint" ? body["producerId"] : null,
  producerEpoch: typeof body["producerEpoch"] === "number" ? body["producerEpoch"] : null
})

const firstError = (body: Struct): number | null => {
  let found: number | null = null
  for (const [name, value] of Object.entries(body)) {
    if (typeof value === "number" && /errorCode$/i.test(name)) {
      if (value !== 0) return value
      found = 0
    } else if (Array.isArray(value)) {
      for (const element of value as ReadonlyArray<unknown>) {
        if (typeof element !== "object" || element === null) continue
        const inner = firstError(element as Struct)
        if (inner !== null && inner !== 0) return inner
        found ??= inner
      }
    }
  }
  return found
}

/** As many names as the largest cluster has topics; beyond it rules match on ids alone. */
const topicNamesMax = 100_000

/** Learns the names of topics by id from a Metadata answer. */
export const learnTopics = (names: Map<string, string>, metadata: Struct): void => {
  const { topics } = metadata
  if (!Array.isArray(topics)) return
  for (const topic of topics as ReadonlyArray<Struct>) {
    const { name, topicId } = topic
    if (typeof name !== "string" || typeof topicId !== "string") continue
    if (names.size < topicNamesMax) names.set(topicId, name)
  }
}
