/**
 * The requests of a transaction. Where the client has no module for a version, or one that loses
 * what the answer says, the few fields are read and written here with its reader and writer.
 *
 * Each request is made for one version of the transaction protocol: version 2 (KIP-890) is told by
 * the versions of EndTxn, Produce and TxnOffsetCommit alone.
 */
import type { OffsetCommit, ProducerIdentity } from "@kafka-once/core/KafkaDriver"
import {
  addOffsetsToTxnV1,
  addOffsetsToTxnV3,
  addPartitionsToTxnV1,
  addPartitionsToTxnV3,
  endTxnV1,
  endTxnV4,
  initProducerIdV5,
  type Reader,
  txnOffsetCommitV4,
  Writer
} from "@platformatic/kafka"
import type { Message } from "./message.ts"

export type TransactionVersion = 1 | 2

/** A transactional id with the session that acts for it. */
export interface Actor extends ProducerIdentity {
  readonly transactionalId: string
}

export interface Initialised {
  readonly code: number
  readonly identity: ProducerIdentity
}

/** With the id and epoch (-1, -1) whoever asks last owns the transactional id (I6). */
export const initProducerId = (
  transactionalId: string,
  transactionTimeoutMillis: number,
  { epoch, producerId }: ProducerIdentity
): Message<Initialised> => ({
  request: "InitProducerId",
  key: 22,
  versions: [3, 5],
  flexibleFrom: 2,
  write: () =>
    initProducerIdV5.createRequest(transactionalId, transactionTimeoutMillis, producerId, epoch),
  read: (reader) => {
    reader.readInt32()
    const code = reader.readInt16()
    return { code, identity: { producerId: reader.readInt64(), epoch: reader.readInt16() } }
  }
})

export interface PartitionCode {
  readonly topic: string
  readonly partition: number
  readonly code: number
}

/** Never version 4 or 5: they are for brokers, and need the right ClusterAction. */
export const addPartitionsToTxn = (
  { epoch, producerId, transactionalId }: Actor,
  partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>
): Message<ReadonlyArray<PartitionCode>> => ({
  request: "AddPartitionsToTxn",
  key: 24,
  versions: [1, 3],
  flexibleFrom: 3,
  write: (version) => {
    const topics = Array.from(
      Map.groupBy(partitions, ({ topic }) => topic),
      ([name, of]) => ({ name, partitions: of.map(({ partition }) => partition) })
    )
    return (version >= 3 ? addPartitionsToTxnV3 : addPartitionsToTxnV1).createRequest([
      { transactionalId, producerId, producerEpoch: epoch, verifyOnly: false, topics }
    ])
  },
  read: (reader, version) => readPartitionCodes(reader, version >= 3)
})

export const addOffsetsToTxn = (
  { epoch, producerId, transactionalId }: Actor,
  groupId: string
): Message<number> => ({
  request: "AddOffsetsToTxn",
  key: 25,
  versions: [1, 3],
  flexibleFrom: 3,
  write: (version) =>
    (version >= 3 ? addOffsetsToTxnV3 : addOffsetsToTxnV1).createRequest(
      transactionalId,
      producerId,
      epoch,
      groupId
    ),
  read: readCode
})

/** Version 5 registers the group by itself; its bytes are those of version 4. */
export const txnOffsetCommit = (
  { epoch, producerId, transactionalId }: Actor,
  { groupId, membership, metadata, positions }: OffsetCommit,
  protocol: TransactionVersion
): Message<ReadonlyArray<PartitionCode>> => ({
  request: "TxnOffsetCommit",
  key: 28,
  versions: protocol === 2 ? [5, 5] : [3, 4],
  flexibleFrom: 3,
  write: () =>
    txnOffsetCommitV4.createRequest(
      transactionalId,
      groupId,
      producerId,
      epoch,
      membership.generationId,
      membership.memberId,
      membership.groupInstanceId,
      Array.from(Map.groupBy(positions, ({ topic }) => topic), ([name, of]) => ({
        name,
        partitions: of.map(({ offset, partition }) => ({
          partitionIndex: partition,
          committedOffset: offset,
          committedLeaderEpoch: -1,
          committedMetadata: metadata
        }))
      }))
    ),
  read: (reader) => readPartitionCodes(reader, true)
})

export interface Ended {
  readonly code: number
  /** Whom the next transaction belongs to; `null` before version 2. */
  readonly next: ProducerIdentity | null
}

/** The bytes of a request of version 5 are those of version 4. */
export const endTxn = (
  { epoch, producerId, transactionalId }: Actor,
  commit: boolean,
  protocol: TransactionVersion
): Message<Ended> => ({
  request: "EndTxn",
  key: 26,
  versions: protocol === 2 ? [5, 5] : [1, 4],
  flexibleFrom: 3,
  write: (version) =>
    (version >= 3 ? endTxnV4 : endTxnV1).createRequest(transactionalId, producerId, epoch, commit),
  read: (reader, version) => {
    const code = readCode(reader)
    if (version < 5) return { code, next: null }
    return { code, next: { producerId: reader.readInt64(), epoch: reader.readInt16() } }
  }
})

/** One encoded batch for one partition. */
export interface ProducedBatch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

export interface ProducedAnswer extends PartitionCode {
  readonly baseOffset: bigint
  readonly logAppendTime: bigint
}

/** Version 12 registers the partitions by itself; its bytes are those of version 11. */
export const produce = (
  transactionalId: string,
  timeoutMillis: number,
  batches: ReadonlyArray<ProducedBatch>,
  protocol: TransactionVersion
): Message<ReadonlyArray<ProducedAnswer>> => ({
  request: "Produce",
  key: 0,
  versions: protocol === 2 ? [12, 12] : [8, 11],
  flexibleFrom: 9,
  throttle: "last",
  write: (version) => {
    const compact = version >= 9
    const writer = Writer.create()
      .appendString(transactionalId, compact)
      .appendInt16(allInSync)
      .appendInt32(timeoutMillis)
      .appendArray(
        [...Map.groupBy(batches, ({ topic }) => topic)],
        (writer, [topic, of]) =>
          writer.appendString(topic, compact).appendArray(
            [...of],
            (writer, { bytes, partition }) =>
              writer.appendInt32(partition).appendBytes(bytes, compact),
            compact,
            compact
          ),
        compact,
        compact
      )
    return compact ? writer.appendTaggedFields() : writer
  },
  read: (reader, version) => {
    const compact = version >= 9
    return readNested(reader, compact, (topic) => {
      const partition = reader.readInt32()
      const code = reader.readInt16()
      const baseOffset = reader.readInt64()
      const logAppendTime = reader.readInt64()
      reader.readInt64()
      // Which records of the batch were refused, and the broker's words.
      reader.readArray(
        () => {
          reader.readInt32()
          reader.readNullableString(compact)
        },
        compact,
        compact
      )
      reader.readNullableString(compact)
      return { topic, partition, code, baseOffset, logAppendTime }
    })
  }
})

const allInSync = -1

const readCode = (reader: Reader): number => {
  reader.readInt32()
  return reader.readInt16()
}

const readPartitionCodes = (reader: Reader, compact: boolean): ReadonlyArray<PartitionCode> => {
  reader.readInt32()
  return readNested(reader, compact, (topic) => ({
    topic,
    partition: reader.readInt32(),
    code: reader.readInt16()
  }))
}

/** An array of topics, each with an array of partitions. */
const readNested = <A>(
  reader: Reader,
  compact: boolean,
  read: (topic: string) => A
): ReadonlyArray<A> =>
  reader.readArray(
    () => {
      const topic = reader.readString(compact)
      return reader.readArray(() => read(topic), compact, compact)
    },
    compact,
    compact
  ).flat()
