/**
 * Finds the end marker of a transaction in a partition's log.
 */
import { DriverError, type EndMarker, Failure } from "@kafka-once/core/KafkaDriver"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import { readUncommitted } from "./client.ts"
import { type Cluster, topicOf } from "./cluster.ts"
import type { RawFetch } from "./repair.ts"

const pageBytes = 4 * 1024 * 1024

/** So many pages are read at most: 4 GiB. The library's deadline strikes long before. */
const mostPages = 1_024

/**
 * Reads forward from `offset`, uncommitted, so that no open transaction of another producer can
 * hold the answer back.
 */
export const find = async (
  cluster: Cluster,
  topicPartition: TopicPartition,
  offset: bigint,
  producerId: bigint
): Promise<Effect.Effect<EndMarker, DriverError>> => {
  const { code, leader } = topicOf(cluster, topicPartition.topic).leaderOf(topicPartition.partition)
  if (leader === null) return failed("Metadata", code)
  const broker = await cluster.findBroker({ nodeId: leader })
  let position = offset
  for (let page = 0; page < mostPages; page++) {
    const raw = await broker.fetch({
      replicaId: -1,
      isolationLevel: readUncommitted,
      maxWaitTime: 100,
      minBytes: 1,
      maxBytes: pageBytes,
      rackId: "",
      topics: [{
        topic: topicPartition.topic,
        partitions: [{
          partition: topicPartition.partition,
          fetchOffset: position.toString(),
          maxBytes: pageBytes
        }]
      }]
    })
    const answer = readPage(raw as RawFetch)
    if (answer.code === offsetOutOfRange) return Effect.succeed("gone")
    if (answer.code !== 0) return failed("Fetch", answer.code)
    for (const batch of answer.batches) {
      position = batch.lastOffset + 1n
      if (batch.producerId === producerId && batch.baseOffset > offset && batch.ends !== null) {
        return Effect.succeed(batch.ends)
      }
    }
    if (position >= answer.highWatermark) return Effect.succeed("none yet")
  }
  return Effect.fail(
    new DriverError({
      request: "Fetch",
      failure: Failure.Refused(),
      detail: `No end marker within ${mostPages} pages of ${pageBytes} bytes`
    })
  )
}

const failed = (request: "Fetch" | "Metadata", code: number): Effect.Effect<never, DriverError> =>
  Effect.fail(
    new DriverError({ request, failure: Failure.Answered({ code }), detail: `Code ${code}` })
  )

const offsetOutOfRange = 1

interface Page {
  readonly code: number
  readonly highWatermark: bigint
  readonly batches: ReadonlyArray<Batch>
}

interface Batch {
  readonly baseOffset: bigint
  readonly lastOffset: bigint
  readonly producerId: bigint
  /** What a control batch ended its transaction with, `null` for any other batch. */
  readonly ends: "commit" | "abort" | null
}

/** The one partition of a Fetch response, in the versions 4 to 11 that kafkajs asks for. */
const readPage = ({ apiVersion, body }: RawFetch): Page => {
  // Throttle time; from version 7 on an error code and a session id; the number of topics.
  let at = apiVersion >= 7 ? 10 : 4
  const sessionCode = apiVersion >= 7 ? body.readInt16BE(4) : 0
  if (sessionCode !== 0) return { code: sessionCode, highWatermark: -1n, batches: [] }
  if (body.readInt32BE(at) === 0) throw new RangeError("A Fetch was answered without a topic")
  at += 4
  at += 2 + body.readInt16BE(at)
  // The number of partitions and the partition.
  at += 8
  const code = body.readInt16BE(at)
  const highWatermark = body.readBigInt64BE(at + 2)
  // Code, high watermark, last stable offset, and from version 5 on the log's start offset.
  at += apiVersion >= 5 ? 26 : 18
  const aborted = Math.max(0, body.readInt32BE(at))
  at += 4 + aborted * 16
  if (apiVersion >= 11) at += 4
  const size = Math.max(0, body.readInt32BE(at))
  return { code, highWatermark, batches: readBatches(body.subarray(at + 4, at + 4 + size)) }
}

const headerBytes = 61
const controlBit = 0x20

/** Reads the headers of record batches; the last one may be cut off. */
const readBatches = (records: Buffer): Array<Batch> => {
  const batches: Array<Batch> = []
  let at = 0
  while (at + headerBytes <= records.length) {
    const end = at + 12 + records.readInt32BE(at + 8)
    if (end <= at + 12 || end > records.length) break
    const baseOffset = records.readBigInt64BE(at)
    // Message sets from before Kafka 0.11 have no producers; theirs is the offset of the message.
    const isBatch = records.readInt8(at + 16) >= 2
    const isControl = isBatch && (records.readInt16BE(at + 21) & controlBit) !== 0
    batches.push({
      baseOffset,
      lastOffset: isBatch ? baseOffset + BigInt(records.readInt32BE(at + 23)) : baseOffset,
      producerId: isBatch ? records.readBigInt64BE(at + 43) : -1n,
      ends: isControl ? endOf(records.subarray(at + headerBytes, end)) : null
    })
    at = end
  }
  return batches
}

/**
 * Reads the key of a control record: a version and a type. Before it stand the record's length,
 * attributes, two deltas and the key's length; all but the attributes are of variable length.
 */
const endOf = (record: Buffer): "commit" | "abort" | null => {
  let at = afterVarint(record, 0) + 1
  for (let field = 0; field < 3; field++) at = afterVarint(record, at)
  const type = record.readInt16BE(at + 2)
  return type === 0 ? "abort" : type === 1 ? "commit" : null
}

const afterVarint = (bytes: Buffer, from: number): number => {
  let at = from
  while (bytes.readUInt8(at) >= 0x80) at++
  return at + 1
}
