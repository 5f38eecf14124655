/**
 * The requests of operators. The client has no module for WriteTxnMarkers; its few fields are
 * written and read here.
 */
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import type { AbortMarker, ListFilter } from "@kafka-once/core/TransactionAdminDriver"
import {
  describeConfigsV4,
  describeProducersV0,
  describeTransactionsV0,
  listTransactionsV0,
  listTransactionsV1,
  listTransactionsV2,
  Writer
} from "@platformatic/kafka"
import { groupBy } from "./groupBy.ts"
import { type Message, withCodes } from "./message.ts"

export type Listed = ReturnType<typeof listTransactionsV2.parseResponse>

/** The version tells which filters there are; an older broker refuses one that it does not have. */
export const listTransactions = (filter: ListFilter): Message<Listed> => {
  const { openLongerThanMillis, pattern, producerIds = [], states = [] } = filter
  return {
    request: "ListTransactions",
    key: 66,
    versions: [pattern !== undefined ? 2 : openLongerThanMillis !== undefined ? 1 : 0, 2],
    flexibleFrom: 0,
    write: (version) =>
      (version >= 2 ? listTransactionsV2 : version === 1 ? listTransactionsV1 : listTransactionsV0)
        .createRequest(
          // The module's names differ from Kafka's, which it takes as well.
          [...states] as Parameters<typeof listTransactionsV2.createRequest>[0],
          [...producerIds],
          BigInt(openLongerThanMillis ?? -1),
          pattern ?? null
        ),
    read: (reader, version) =>
      withCodes(() => listTransactionsV2.parseResponse(0, 66, version, reader))
  }
}

export type Described = ReturnType<typeof describeTransactionsV0.parseResponse>

export const describeTransaction = (transactionalId: string): Message<Described> => ({
  request: "DescribeTransactions",
  key: 65,
  versions: [0, 0],
  flexibleFrom: 0,
  write: () => describeTransactionsV0.createRequest([transactionalId]),
  read: (reader, version) =>
    withCodes(() => describeTransactionsV0.parseResponse(0, 65, version, reader))
})

export type DescribedProducers = ReturnType<typeof describeProducersV0.parseResponse>

export const describeProducers = (
  partitions: ReadonlyArray<TopicPartition>
): Message<DescribedProducers> => ({
  request: "DescribeProducers",
  key: 61,
  versions: [0, 0],
  flexibleFrom: 0,
  write: () =>
    describeProducersV0.createRequest(
      Array.from(groupBy(partitions, ({ topic }) => topic), ([name, of]) => ({
        name,
        partitionIndexes: of.map(({ partition }) => partition)
      }))
    ),
  read: (reader, version) =>
    withCodes(() => describeProducersV0.parseResponse(0, 61, version, reader))
})

/**
 * The answer is the code for the one partition. Version 2 asks a partition to hold the marker to
 * the epochs of version 2 of the protocol, which what hangs does not keep.
 */
export const writeAbortMarker = (
  { coordinatorEpoch, epoch, partition, producerId, topic }: AbortMarker
): Message<number> => ({
  request: "WriteTxnMarkers",
  key: 27,
  versions: [1, 1],
  flexibleFrom: 1,
  write: () =>
    Writer.create()
      .appendArray([topic], (writer) =>
        writer
          .appendInt64(producerId)
          .appendInt16(epoch)
          .appendBoolean(false)
          .appendArray([topic], (writer, name) =>
            writer.appendString(name).appendArray(
              [partition],
              (writer, index) => writer.appendInt32(index),
              true,
              false
            ))
          .appendInt32(coordinatorEpoch))
      .appendTaggedFields(),
  read: (reader) => {
    const codes = reader.readArray(() => {
      reader.readInt64()
      return reader.readArray(() => {
        reader.readString()
        return reader.readArray(() => {
          reader.readInt32()
          return reader.readInt16()
        })
      }).flat()
    }).flat()
    const [code] = codes
    if (code === undefined || codes.length > 1) {
      throw new RangeError(`A marker for one partition was answered for ${codes.length}`)
    }
    return code
  }
})

const ofBroker = 4

export type Configs = ReturnType<typeof describeConfigsV4.parseResponse>

/** One setting of one broker. */
export const describeBrokerConfig = (brokerId: number, name: string): Message<Configs> => ({
  request: "DescribeConfigs",
  key: 32,
  versions: [4, 4],
  flexibleFrom: 4,
  write: () =>
    describeConfigsV4.createRequest([
      { resourceType: ofBroker, resourceName: String(brokerId), configurationKeys: [name] }
    ]),
  read: (reader, version) =>
    withCodes(() => describeConfigsV4.parseResponse(0, 32, version, reader))
})
