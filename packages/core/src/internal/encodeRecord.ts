import * as Result from "effect/Result"
import type { EncodedRecord } from "../KafkaDriver.ts"
import { InvalidRecord } from "../KafkaError.ts"
import type { Bytes, Headers, ProducerRecord } from "../ProducerRecord.ts"
import { encodeUtf8 } from "./utf8.ts"

/**
 * A record ready for a partition, and how many bytes it takes in a batch.
 */
export interface SizedRecord {
  readonly topic: string
  readonly partition: number | undefined
  readonly encoded: EncodedRecord
  readonly bytes: number
}

// Length, attributes, timestamp and offset deltas, and the lengths of key, value and headers, as
// variable-length integers: never more than this.
const recordOverheadBytes = 36
const headerOverheadBytes = 10

const maxInt64 = 9_223_372_036_854_775_807n

/**
 * Checks and encodes the records of one `send`. Nothing is sent unless all of them can be.
 */
export const encodeAll = (
  records: ReadonlyArray<ProducerRecord>,
  nowMillis: number,
  extraHeader: readonly [string, Uint8Array] | null
): Result.Result<ReadonlyArray<SizedRecord>, InvalidRecord> => {
  const now = BigInt(Math.trunc(nowMillis))
  const encoded: Array<SizedRecord> = []
  if (!Array.isArray(records)) {
    const problem = "send takes an array of records"
    return Result.fail(new InvalidRecord({ index: 0, topic: "", problem }))
  }
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    const problem = problemOf(record)
    if (problem !== null) {
      const topic = typeof record?.topic === "string" ? record.topic : ""
      return Result.fail(new InvalidRecord({ index, topic, problem }))
    }
    encoded.push(encode(record, now, extraHeader))
  }
  return Result.succeed(encoded)
}

const encode = (
  record: ProducerRecord,
  now: bigint,
  extraHeader: readonly [string, Uint8Array] | null
): SizedRecord => {
  const key = toBytes(record.key)
  const value = toBytes(record.value)
  const headers = encodeHeaders(record.headers)
  if (extraHeader !== null) headers.push(extraHeader)
  let bytes = recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, header] of headers) bytes += headerOverheadBytes + name.length + header.length
  return {
    topic: record.topic,
    partition: record.partition,
    encoded: { key, value, headers, timestamp: record.timestamp ?? now },
    bytes
  }
}

const toBytes = (bytes: Bytes | null | undefined): Uint8Array | null =>
  bytes === null || bytes === undefined
    ? null
    : typeof bytes === "string"
    ? encodeUtf8(bytes)
    : bytes

const encodeHeaders = (headers: Headers | undefined): Array<readonly [string, Uint8Array]> => {
  if (headers === undefined) return []
  const encoded: Array<readonly [string, Uint8Array]> = []
  for (const [name, value] of pairsOf(headers)) encoded.push([name, toBytes(value)!])
  return encoded
}

const isPairs = (headers: Headers): headers is ReadonlyArray<readonly [string, Bytes]> =>
  Array.isArray(headers)

const pairsOf = (headers: Headers): ReadonlyArray<readonly [string, Bytes]> =>
  isPairs(headers)
    ? headers
    : Object.entries(headers).flatMap(([name, value]) =>
      isBytes(value) ? [[name, value] as const] : repeatsOf(name, value)
    )

const repeatsOf = (name: string, values: ReadonlyArray<Bytes>) =>
  Array.isArray(values)
    ? values.map((value) => [name, value] as const)
    : [[name, values as unknown as Bytes] as const] // not Bytes: reported by problemOf

const isBytes = (value: unknown): value is Bytes =>
  typeof value === "string" || value instanceof Uint8Array

/**
 * What is wrong with a record, or `null`. Types are checked at run time as well, because records
 * often come from JSON.
 */
const problemOf = (record: ProducerRecord): string | null => {
  if (typeof record !== "object" || record === null) return "is not a record"
  return problemOfTopic(record.topic) ??
    problemOfBytes("key", record.key) ??
    (record.value === undefined
      ? "has no value; for a tombstone set it to null"
      : problemOfBytes("value", record.value)) ??
    problemOfPartition(record.partition) ??
    problemOfTimestamp(record.timestamp) ??
    problemOfHeaders(record.headers)
}

/**
 * What is wrong with a topic's name, or `null`. Source: `org.apache.kafka.common.internals.Topic`.
 */
const problemOfTopic = (topic: unknown): string | null =>
  typeof topic !== "string" || topic === ""
    ? "the topic's name is empty; name a topic"
    : topic === "." || topic === ".."
    ? 'the topic\'s name cannot be "." or ".."'
    : topic.length > 249
    ? `the topic's name has ${topic.length} characters; Kafka takes up to 249`
    : /^[a-zA-Z0-9._-]+$/.test(topic)
    ? null
    : 'the topic\'s name may hold only letters, digits, ".", "_" and "-"'

const problemOfBytes = (what: string, value: unknown): string | null =>
  value === null || value === undefined || isBytes(value)
    ? null
    : `the ${what} must be text, a Uint8Array or null; it is of type ${typeof value}`

const problemOfPartition = (partition: unknown): string | null =>
  partition === undefined ||
    (Number.isInteger(partition) && Number(partition) >= 0 && Number(partition) < 2 ** 31)
    ? null
    : `the partition must be a whole number from 0; it is ${describe(partition)}`

const problemOfTimestamp = (timestamp: unknown): string | null =>
  timestamp === undefined ||
    (typeof timestamp === "bigint" && timestamp >= 0n && timestamp <= maxInt64)
    ? null
    : `the timestamp must be milliseconds since 1970 as a bigint; it is ${describe(timestamp)}`

const problemOfHeaders = (headers: unknown): string | null => {
  if (headers === undefined) return null
  if (typeof headers !== "object" || headers === null) {
    return `the headers must be an array of pairs or an object; they are ${describe(headers)}`
  }
  const pairs = pairsOf(headers as Headers)
  for (const pair of pairs) {
    if (!Array.isArray(pair) || typeof pair[0] !== "string") {
      return "a header must be a pair of a name and a value"
    }
    if (!isBytes(pair[1])) {
      return `the header "${pair[0]}" must be text or a Uint8Array; it is ${describe(pair[1])}`
    }
  }
  return null
}

// Of text only the type is told: it may be a record's content in the wrong place.
const describe = (value: unknown): string =>
  value === null
    ? "null"
    : typeof value === "number" || typeof value === "bigint"
    ? String(value)
    : `of type ${typeof value}`
