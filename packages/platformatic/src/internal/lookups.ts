/**
 * The requests that find the way: who leads a partition, and who coordinates a transaction or a
 * group. One version each, which every broker from Kafka 2.5 on speaks.
 */
import {
  FindCoordinatorKeyTypes,
  findCoordinatorV3,
  metadataV9,
  offsetFetchV7
} from "@platformatic/kafka"
import { type Message, withCodes } from "./message.ts"

export type Metadata = ReturnType<typeof metadataV9.parseResponse>

/** Of these topics, or with `null` of all that the principal may see. */
export const metadata = (topics: ReadonlyArray<string> | null): Message<Metadata> => ({
  request: "Metadata",
  key: 3,
  versions: [9, 9],
  flexibleFrom: 9,
  write: () => metadataV9.createRequest(topics === null ? null : [...topics], false, false, false),
  read: (reader, version) => withCodes(() => metadataV9.parseResponse(0, 3, version, reader))
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

export type OffsetFetch = ReturnType<typeof offsetFetchV7.parseResponse>

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
  read: (reader, version) => withCodes(() => offsetFetchV7.parseResponse(0, 9, version, reader))
})
