/**
 * The requests of operators. The client has no module for WriteTxnMarkers, and its modules fail
 * with a TypeError on a code that they do not know, such as that of a bad regular expression. So
 * answers are read here.
 */
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import {
  type AbortMarker,
  isOpen,
  type ListFilter,
  type ProducerState,
  type TransactionDescription,
  type TransactionListing
} from "@kafka-once/core/TransactionAdminDriver"
import {
  describeConfigsV4,
  describeProducersV0,
  describeTransactionsV0,
  listTransactionsV0,
  listTransactionsV1,
  listTransactionsV2,
  type Reader,
  Writer
} from "@platformatic/kafka"
import type { Message } from "./message.ts"

export interface Listed {
  readonly code: number
  readonly unknownStates: ReadonlyArray<string>
  readonly transactions: ReadonlyArray<TransactionListing>
}

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
    read: (reader) => {
      reader.readInt32()
      return {
        code: reader.readInt16(),
        unknownStates: reader.readArray(() => reader.readString(), true, false),
        transactions: reader.readArray(() => ({
          transactionalId: reader.readString(),
          producerId: reader.readInt64(),
          state: reader.readString()
        }))
      }
    }
  }
}

export interface Described {
  readonly code: number
  readonly description: TransactionDescription
}

export const describeTransaction = (transactionalId: string): Message<Described> => ({
  request: "DescribeTransactions",
  key: 65,
  versions: [0, 0],
  flexibleFrom: 0,
  write: () => describeTransactionsV0.createRequest([transactionalId]),
  read: (reader) => {
    reader.readInt32()
    const [described] = reader.readArray(() => readDescribed(reader))
    if (described === undefined) throw new RangeError("No transactional id was described")
    return described
  }
})

const readDescribed = (reader: Reader): Described => {
  const code = reader.readInt16()
  const transactionalId = reader.readString()
  const state = reader.readString()
  const timeoutMillis = reader.readInt32()
  const startedAt = Number(reader.readInt64())
  return {
    code,
    description: {
      transactionalId,
      state,
      timeoutMillis,
      // A coordinator goes on telling when the last transaction began.
      startedAtMillis: isOpen(state) ? startedAt : null,
      producerId: reader.readInt64(),
      epoch: reader.readInt16(),
      partitions: reader.readArray(() => {
        const topic = reader.readString()
        return reader.readArray(() => ({ topic, partition: reader.readInt32() }), true, false)
      }).flat()
    }
  }
}

export interface DescribedProducers extends TopicPartition {
  readonly code: number
  readonly producers: ReadonlyArray<ProducerState>
}

export const describeProducers = (
  partitions: ReadonlyArray<TopicPartition>
): Message<ReadonlyArray<DescribedProducers>> => ({
  request: "DescribeProducers",
  key: 61,
  versions: [0, 0],
  flexibleFrom: 0,
  write: () =>
    describeProducersV0.createRequest(
      Array.from(Map.groupBy(partitions, ({ topic }) => topic), ([name, of]) => ({
        name,
        partitionIndexes: of.map(({ partition }) => partition)
      }))
    ),
  read: (reader) => {
    reader.readInt32()
    return reader.readArray(() => {
      const topic = reader.readString()
      return reader.readArray(() => {
        const partition = reader.readInt32()
        const code = reader.readInt16()
        reader.readNullableString()
        return { topic, partition, code, producers: reader.readArray(() => readProducer(reader)) }
      })
    }).flat()
  }
})

const readProducer = (reader: Reader): ProducerState => {
  const producerId = reader.readInt64()
  const epoch = reader.readInt32()
  const lastSequence = reader.readInt32()
  const lastTimestampMillis = Number(reader.readInt64())
  const coordinatorEpoch = reader.readInt32()
  const startOffset = reader.readInt64()
  return {
    producerId,
    epoch,
    lastSequence,
    lastTimestampMillis,
    coordinatorEpoch: coordinatorEpoch < 0 ? null : coordinatorEpoch,
    startOffset: startOffset < 0n ? null : startOffset
  }
}

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
  throttle: "nowhere",
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

export interface Setting {
  readonly code: number
  readonly value: string | null
}

/** One setting of one broker. */
export const describeBrokerConfig = (brokerId: number, name: string): Message<Setting> => ({
  request: "DescribeConfigs",
  key: 32,
  versions: [4, 4],
  flexibleFrom: 4,
  write: () =>
    describeConfigsV4.createRequest([
      { resourceType: ofBroker, resourceName: String(brokerId), configurationKeys: [name] }
    ]),
  read: (reader) => {
    reader.readInt32()
    const [setting] = reader.readArray(() => {
      const code = reader.readInt16()
      reader.readNullableString()
      // The broker, as a kind of resource and by its id.
      reader.readInt8()
      reader.readString()
      const values = reader.readArray(() => readValue(reader, name)).flat()
      return { code, value: values[0] ?? null }
    })
    if (setting === undefined) throw new RangeError("DescribeConfigs was answered without a broker")
    return setting
  }
})

const readValue = (reader: Reader, wanted: string): ReadonlyArray<string | null> => {
  const name = reader.readString()
  const value = reader.readNullableString()
  // Whether it can be changed, where it is from, and whether it is secret.
  reader.readBoolean()
  reader.readInt8()
  reader.readBoolean()
  // What else it would be taken from.
  reader.readArray(() => {
    reader.readString()
    reader.readNullableString()
    reader.readInt8()
  })
  // Its type, and what it is for.
  reader.readInt8()
  reader.readNullableString()
  return name === wanted ? [value] : []
}
