/**
 * The record batches of a partition, as a Fetch answers them: their headers at once, their records
 * when they are asked for.
 */
import type { FetchedRecord } from "@kafka-once/core/ConsumerDriver"
import { DriverError, Failure } from "@kafka-once/core/DriverError"
import type { EncodedBatch } from "@kafka-once/core/GroupProtocol"
import {
  IS_CONTROL,
  IS_TRANSACTIONAL,
  type KafkaRecord,
  Reader,
  readRecordsBatch,
  UnsupportedCompressionError
} from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import { refused } from "./failure.ts"

export interface FetchedBatch extends EncodedBatch {
  readonly baseOffset: bigint
}

/** Where the fields of a batch's header begin; before the length stands the base offset. */
const lengthAt = 8
const magicAt = 16
const attributesAt = 21
const lastOffsetDeltaAt = 23
const producerIdAt = 43
const countAt = 57
const headerBytes = 61
const logAppendTime = 0x08

/** The last batch may be cut off. */
export const read = (records: Buffer): ReadonlyArray<FetchedBatch> => {
  const batches: Array<FetchedBatch> = []
  let at = 0
  while (at + headerBytes <= records.length) {
    const end = at + 12 + records.readInt32BE(at + lengthAt)
    if (end <= at + 12 || end > records.length) break
    batches.push(readBatch(records.subarray(at, end)))
    at = end
  }
  return batches
}

const readBatch = (batch: Buffer): FetchedBatch => {
  const baseOffset = batch.readBigInt64BE(0)
  // Message sets from before Kafka 0.11 have no producers; theirs is the offset of the message.
  if (batch.readInt8(magicAt) < 2) {
    return {
      baseOffset,
      lastOffset: baseOffset,
      producerId: -1n,
      isTransactional: false,
      count: 1,
      bytes: batch.length,
      control: null,
      records: Effect.fail(refused("Fetch", "A record has the format of before Kafka 0.11"))
    }
  }
  const attributes = batch.readInt16BE(attributesAt)
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(batch.readInt32BE(lastOffsetDeltaAt)),
    producerId: batch.readBigInt64BE(producerIdAt),
    isTransactional: (attributes & IS_TRANSACTIONAL) !== 0,
    count: batch.readInt32BE(countAt),
    bytes: batch.length,
    control: (attributes & IS_CONTROL) === 0 ? null : markerIn(batch),
    records: Effect.try({
      try: () => recordsIn(batch),
      catch: (error) =>
        error instanceof UnsupportedCompressionError
          ? refused("Fetch", "A batch of records is compressed in a way that is not known here")
          : new DriverError({
            request: "Fetch",
            failure: Failure.NotKafka(),
            detail: `The records at offset ${baseOffset} cannot be read`
          })
    })
  }
}

/** The key of a control record is a version and a type. */
const markerIn = (batch: Buffer): "commit" | "abort" | "other" => {
  const type = readRecordsBatch(Reader.from(batch)).records[0]?.key?.readInt16BE(2)
  return type === 0 ? "abort" : type === 1 ? "commit" : "other"
}

const recordsIn = (bytes: Buffer): ReadonlyArray<FetchedRecord> => {
  const { attributes, firstOffset, firstTimestamp, maxTimestamp, records } = readRecordsBatch(
    Reader.from(bytes)
  )
  const appendedAt = (attributes & logAppendTime) === 0 ? null : maxTimestamp
  return records.map((record) => ({
    offset: firstOffset + BigInt(record.offsetDelta),
    timestamp: appendedAt ?? firstTimestamp + record.timestampDelta,
    key: orNull(record.key),
    value: orNull(record.value),
    headers: record.headers.map(([name, value]) => [name?.toString("utf8") ?? "", orNull(value)])
  }))
}

const orNull = (bytes: KafkaRecord["key"] | null | undefined): Uint8Array | null => bytes ?? null
