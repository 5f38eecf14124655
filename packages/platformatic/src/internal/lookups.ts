/**
 * The requests that find the way: who leads a partition, and who coordinates a transaction or a
 * group. In versions that every broker from Kafka 2.5 on speaks, and newer ones for what they add.
 */
import {
  FindCoordinatorKeyTypes,
  findCoordinatorV3,
  metadataV10,
  metadataV9,
  offsetFetchV7,
  type Reader
} from "@platformatic/kafka"
import type { Message } from "./message.ts"

export interface Metadata {
  readonly brokers: ReadonlyArray<{
    readonly nodeId: number
    readonly host: string
    readonly port: number
  }>
  readonly topics: ReadonlyArray<{
    readonly errorCode: number
    readonly name: string
    /** `null` where the version does not tell it. */
    readonly topicId: string | null
    readonly partitions: ReadonlyArray<{
      readonly errorCode: number
      readonly partitionIndex: number
      readonly leaderId: number
    }>
  }>
}

const readMetadata = (reader: Reader, version: number): Metadata => {
  reader.readInt32()
  const brokers = reader.readArray(() => {
    const broker = {
      nodeId: reader.readInt32(),
      host: reader.readString(),
      port: reader.readInt32()
    }
    // The rack.
    reader.readNullableString()
    return broker
  })
  // The cluster's id and its controller.
  reader.readNullableString()
  reader.readInt32()
  return { brokers, topics: reader.readArray(() => readTopic(reader, version)) }
}

const readTopic = (reader: Reader, version: number): Metadata["topics"][number] => {
  const errorCode = reader.readInt16()
  const name = reader.readString()
  const topicId = version >= idsFrom ? reader.readUUID() : null
  // Whether it is one of the broker's own.
  reader.readInt8()
  const partitions = reader.readArray(() => {
    const partition = {
      errorCode: reader.readInt16(),
      partitionIndex: reader.readInt32(),
      leaderId: reader.readInt32()
    }
    // The leader's epoch, the replicas, and those that are in sync and offline.
    reader.readInt32()
    for (let list = 0; list < 3; list++) reader.readArray(() => reader.readInt32(), true, false)
    return partition
  })
  // What the principal may do.
  reader.readInt32()
  return { errorCode, name, topicId, partitions }
}

/** The first version that tells the ids of topics (KIP-516). */
const idsFrom = 10

/** Of these topics, or with `null` of all that the principal may see. */
export const metadata = (topics: ReadonlyArray<string> | null): Message<Metadata> => ({
  request: "Metadata",
  key: 3,
  versions: [9, idsFrom],
  flexibleFrom: 9,
  write: (version) =>
    (version < idsFrom ? metadataV9 : metadataV10).createRequest(
      topics === null ? null : [...topics],
      false,
      false,
      false
    ),
  read: readMetadata
})

export type CoordinatorOf = "group" | "transaction"

export interface Coordinator {
  readonly code: number
  readonly host: string
  readonly port: number
}

export const findCoordinator = (of: CoordinatorOf, id: string): Message<Coordinator> => ({
  request: "FindCoordinator",
  key: 10,
  versions: [3, 3],
  flexibleFrom: 3,
  write: () =>
    findCoordinatorV3.createRequest(
      of === "group" ? FindCoordinatorKeyTypes.GROUP : FindCoordinatorKeyTypes.TRANSACTION,
      [id]
    ),
  read: (reader) => {
    reader.readInt32()
    const code = reader.readInt16()
    reader.readNullableString()
    reader.readInt32()
    return { code, host: reader.readString(), port: reader.readInt32() }
  }
})

export interface OffsetFetch {
  readonly errorCode: number
  readonly topics: ReadonlyArray<{
    readonly name: string
    readonly partitions: ReadonlyArray<{
      readonly partitionIndex: number
      readonly committedOffset: bigint
      readonly metadata: string | null
      readonly errorCode: number
    }>
  }>
}

interface OffsetFetchTopic {
  readonly name: string
  readonly partitionIndexes: Array<number>
}

/** Stable: while a transaction can still move an offset, it is refused. */
export const offsetFetch = (
  groupId: string,
  topics: ReadonlyArray<OffsetFetchTopic>
): Message<OffsetFetch> => ({
  request: "OffsetFetch",
  key: 9,
  versions: [7, 7],
  flexibleFrom: 6,
  write: () => offsetFetchV7.createRequest([{ groupId, topics: [...topics] }], true),
  read: (reader) => {
    reader.readInt32()
    const topics = reader.readArray(() => ({
      name: reader.readString(),
      partitions: reader.readArray(() => {
        const partitionIndex = reader.readInt32()
        const committedOffset = reader.readInt64()
        // The leader's epoch.
        reader.readInt32()
        const metadata = reader.readNullableString()
        return { partitionIndex, committedOffset, metadata, errorCode: reader.readInt16() }
      })
    }))
    return { topics, errorCode: reader.readInt16() }
  }
})
