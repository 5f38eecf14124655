/**
 * What a broker's answer says, read from its bytes.
 *
 * kafkajs keeps one error of a response and throws away the rest: the code of every other
 * partition, the code of a FindCoordinator that it repeats elsewhere (K13), the number of a code
 * that it does not know (K8), and the producer id. The driver reads them itself, in the versions
 * that kafkajs speaks; see the `response.js` of each request in kafkajs' `src/protocol/requests`.
 */
import type { Request } from "@kafka-once/core/KafkaDriver"

export interface PartitionAnswer {
  readonly topic: string
  readonly partition: number
  readonly code: number
}

/** `codes` has one entry where the answer has one code, and one per partition where it has many. */
export type Answer =
  | {
    readonly _tag: "Read"
    readonly codes: ReadonlyArray<number>
    readonly partitions: ReadonlyArray<PartitionAnswer>
    readonly producer: { readonly producerId: bigint; readonly epoch: number } | null
  }
  | { readonly _tag: "Unreadable" }
  /** An answer whose codes kafkajs reports well enough itself. */
  | { readonly _tag: "NotRead" }

const requests = new Map<number, Request>([
  [0, "Produce"],
  [1, "Fetch"],
  [2, "ListOffsets"],
  [3, "Metadata"],
  [8, "OffsetCommit"],
  [9, "OffsetFetch"],
  [10, "FindCoordinator"],
  [11, "JoinGroup"],
  [12, "Heartbeat"],
  [13, "LeaveGroup"],
  [14, "SyncGroup"],
  [17, "Connect"],
  [18, "Connect"],
  [22, "InitProducerId"],
  [24, "AddPartitionsToTxn"],
  [25, "AddOffsetsToTxn"],
  [26, "EndTxn"],
  [28, "TxnOffsetCommit"],
  [36, "Connect"]
])

/** The port's name of a request; the hand-shakes before the first request are all `Connect`. */
export const requestOf = (apiKey: number): Request => requests.get(apiKey) ?? "Connect"

const readKeys = new Set([0, 10, 17, 18, 22, 24, 25, 26, 28, 36])

/** Whether {@link read} makes anything of the answer to such a request. */
export const isRead = (apiKey: number): boolean => readKeys.has(apiKey)

const operationNotAttempted = 55

/**
 * The code that tells most: 55 only says that another partition of the request failed (K10).
 */
export const firstFailure = (codes: ReadonlyArray<number>): number =>
  codes.find((code) => code !== 0 && code !== operationNotAttempted) ??
    codes.find((code) => code !== 0) ??
    0

export const read = (apiKey: number, apiVersion: number, body: Buffer): Answer => {
  try {
    return readUnsafe(apiKey, apiVersion, body)
  } catch {
    // `Buffer` throws where the answer is shorter than its version says.
    return { _tag: "Unreadable" }
  }
}

const readUnsafe = (apiKey: number, apiVersion: number, body: Buffer): Answer => {
  switch (apiKey) {
    case 17:
    case 18:
    case 36:
      return single(body.readInt16BE(0))
    case 10:
      return single(body.readInt16BE(apiVersion === 0 ? 0 : 4))
    case 25:
    case 26:
      return single(body.readInt16BE(4))
    case 22:
      return {
        ...single(body.readInt16BE(4)),
        producer: { producerId: body.readBigInt64BE(6), epoch: body.readInt16BE(14) }
      }
    case 0:
      return many(body, 0, apiVersion >= 5 ? 24 : apiVersion >= 2 ? 16 : 8)
    case 24:
    case 28:
      return many(body, 4, 0)
    default:
      return { _tag: "NotRead" }
  }
}

const single = (code: number): Extract<Answer, { _tag: "Read" }> => ({
  _tag: "Read",
  codes: [code],
  partitions: [],
  producer: null
})

/** Topics of partitions, each with its code, which `trailing` bytes follow. */
const many = (body: Buffer, start: number, trailing: number): Answer => {
  const partitions: Array<PartitionAnswer> = []
  let at = start
  const topics = body.readInt32BE(at)
  at += 4
  for (let topicIndex = 0; topicIndex < topics; topicIndex++) {
    const length = body.readInt16BE(at)
    const topic = body.toString("utf8", at + 2, at + 2 + length)
    at += 2 + length
    const count = body.readInt32BE(at)
    at += 4
    for (let index = 0; index < count; index++) {
      partitions.push({ topic, partition: body.readInt32BE(at), code: body.readInt16BE(at + 4) })
      at += 6 + trailing
    }
  }
  return { _tag: "Read", codes: partitions.map(({ code }) => code), partitions, producer: null }
}
