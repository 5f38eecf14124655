/**
 * Finds the end marker of a transaction in a partition's log.
 */
import type { DriverError, EndMarker } from "@kafka-once/core/KafkaDriver"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import {
  FetchIsolationLevels,
  fetchV11,
  IS_CONTROL,
  Reader,
  readRecordsBatch
} from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import type { Cluster } from "./cluster.ts"
import { answered, isSilence, refused } from "./failure.ts"
import type { Message } from "./message.ts"
import type { Settings } from "./settings.ts"

const pageBytes = 4 * 1024 * 1024

/** So many pages are read at most: 4 GiB. The library's deadline strikes long before. */
const mostPages = 1_024

/**
 * Reads forward from `offset`, uncommitted, so that no open transaction of another producer can
 * hold the answer back.
 */
export const find = (
  settings: Settings,
  cluster: Cluster,
  topicPartition: TopicPartition,
  offset: bigint,
  producerId: bigint
): Effect.Effect<EndMarker, DriverError> => {
  const { partition, topic } = topicPartition
  const read = (position: bigint) =>
    cluster.topics([topic], false).pipe(
      Effect.flatMap((topics) => {
        const found = topics.get(topic)
        const leader = found?.leaders.get(partition)
        if (leader === undefined) {
          cluster.forgetTopic(topic)
          return Effect.fail(answered("Metadata", found?.codeOf(partition) ?? 3))
        }
        const message = fetch(topicPartition, position)
        return cluster.request(leader, message, settings.requestTimeoutMillis)
      }),
      Effect.flatMap((page) =>
        page.code === 0 || page.code === offsetOutOfRange
          ? Effect.succeed(page)
          : Effect.fail(answered("Fetch", page.code))
      ),
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error.failure._tag === "Answered" || isSilence(error)) cluster.forgetTopic(topic)
        })
      )
    )
  const search = (position: bigint, pages: number): Effect.Effect<EndMarker, DriverError> =>
    Effect.flatMap(read(position), ({ batches, code, highWatermark }) => {
      if (code === offsetOutOfRange) return Effect.succeed("gone")
      const end = batches.find((batch) =>
        batch.producerId === producerId && batch.baseOffset > offset && batch.ends !== null
      )
      if (end !== undefined && end.ends !== null) return Effect.succeed(end.ends)
      const next = (batches.at(-1)?.lastOffset ?? position - 1n) + 1n
      if (next >= highWatermark) return Effect.succeed("none yet")
      return pages > 1
        ? search(next, pages - 1)
        : Effect.fail(refused("Fetch", `No end marker within ${mostPages} pages`))
    })
  return search(offset, mostPages)
}

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

/**
 * One page of one partition. The client would decompress every record; the batches' headers are
 * enough.
 */
const fetch = ({ partition, topic }: TopicPartition, position: bigint): Message<Page> => ({
  request: "Fetch",
  key: 1,
  versions: [11, 11],
  flexibleFrom: 12,
  write: () =>
    fetchV11.createRequest(
      0,
      1,
      pageBytes,
      FetchIsolationLevels.READ_UNCOMMITTED,
      0,
      -1,
      [{
        // In this version the client takes the name for the id.
        topicId: topic,
        partitions: [{
          partition,
          currentLeaderEpoch: -1,
          fetchOffset: position,
          lastFetchedEpoch: -1,
          partitionMaxBytes: pageBytes
        }]
      }],
      [],
      ""
    ),
  read: (reader) => {
    reader.readInt32()
    const sessionCode = reader.readInt16()
    reader.readInt32()
    const [page] = reader.readArray(
      () => {
        reader.readString(false)
        return reader.readArray(() => readPage(reader), false, false)
      },
      false,
      false
    ).flat()
    if (sessionCode !== 0) return { code: sessionCode, highWatermark: -1n, batches: [] }
    if (page === undefined) throw new RangeError("A Fetch was answered without a partition")
    return page
  }
})

const readPage = (reader: Reader): Page => {
  reader.readInt32()
  const code = reader.readInt16()
  const highWatermark = reader.readInt64()
  // The last stable offset and the start of the log.
  reader.readInt64()
  reader.readInt64()
  reader.readNullableArray(
    () => {
      reader.readInt64()
      reader.readInt64()
    },
    false,
    false
  )
  reader.readInt32()
  return { code, highWatermark, batches: readBatches(reader.readBytes(false)) }
}

/** Where the fields of a batch's header begin; before the length stands the base offset. */
const lengthAt = 8
const magicAt = 16
const attributesAt = 21
const lastOffsetDeltaAt = 23
const producerIdAt = 43
const headerBytes = 61

/** Reads the headers of record batches; the last one may be cut off. */
const readBatches = (records: Buffer): ReadonlyArray<Batch> => {
  const batches: Array<Batch> = []
  let at = 0
  while (at + headerBytes <= records.length) {
    const end = at + 12 + records.readInt32BE(at + lengthAt)
    if (end <= at + 12 || end > records.length) break
    const baseOffset = records.readBigInt64BE(at)
    // Message sets from before Kafka 0.11 have no producers; theirs is the offset of the message.
    const isBatch = records.readInt8(at + magicAt) >= 2
    const isControl = isBatch && (records.readInt16BE(at + attributesAt) & IS_CONTROL) !== 0
    const lastOffsetDelta = isBatch ? records.readInt32BE(at + lastOffsetDeltaAt) : 0
    batches.push({
      baseOffset,
      lastOffset: baseOffset + BigInt(lastOffsetDelta),
      producerId: isBatch ? records.readBigInt64BE(at + producerIdAt) : -1n,
      ends: isControl ? endIn(records.subarray(at, end)) : null
    })
    at = end
  }
  return batches
}

/** The key of a control record is a version and a type. */
const endIn = (batch: Buffer): "commit" | "abort" | null => {
  const type = readRecordsBatch(Reader.from(batch)).records[0]?.key?.readInt16BE(2)
  return type === 0 ? "abort" : type === 1 ? "commit" : null
}
