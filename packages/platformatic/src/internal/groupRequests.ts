/**
 * The requests of a consumer and its group, in the newest versions without tagged fields, which
 * every broker from Kafka 2.4 on speaks; and those of the consumer protocol (KIP-848), from Kafka
 * 4.0 on.
 */
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import type { GroupMembership } from "@kafka-once/core/GroupOffsets"
import type * as GroupProtocol from "@kafka-once/core/GroupProtocol"
import type { AbortedTransaction } from "@kafka-once/core/ReadCommitted"
import * as RecordBatches from "@kafka-once/core/RecordBatches"
import type { TopicPartition } from "@kafka-once/core/TopicPartition"
import {
  consumerGroupHeartbeatV1,
  fetchV11,
  heartbeatV3,
  joinGroupV5,
  leaveGroupV3,
  listOffsetsV5,
  offsetCommitV7,
  offsetCommitV9,
  type Reader,
  syncGroupV3
} from "@platformatic/kafka"
import { decompress } from "./decompress.ts"
import type { Message } from "./message.ts"

export interface Joined {
  readonly errorCode: number
  readonly generationId: number
  readonly leader: string
  readonly memberId: string
  readonly members: ReadonlyArray<{ readonly memberId: string; readonly metadata: Uint8Array }>
}

export const joinGroup = (
  request: GroupProtocol.JoinRequest,
  memberId: string
): Message<Joined> => ({
  request: "JoinGroup",
  key: 11,
  versions: [5, 5],
  flexibleFrom: 6,
  write: () =>
    joinGroupV5.createRequest(
      request.groupId,
      request.sessionTimeoutMillis,
      request.rebalanceTimeoutMillis,
      memberId,
      request.groupInstanceId,
      "consumer",
      request.protocols.map(({ metadata, name }) => ({ name, metadata: Buffer.from(metadata) }))
    ),
  read: (reader) => {
    const errorCode = readCode(reader)
    const generationId = reader.readInt32()
    // The protocol that was chosen.
    reader.readString(false)
    const leader = reader.readString(false)
    const memberId = reader.readString(false)
    const members = reader.readArray(
      () => {
        const memberId = reader.readString(false)
        // The name of a static member.
        reader.readNullableString(false)
        return { memberId, metadata: reader.readBytes(false) }
      },
      false,
      false
    )
    return { errorCode, generationId, leader, memberId, members }
  }
})

export interface Synced {
  readonly errorCode: number
  readonly assignment: Uint8Array
}

export const syncGroup = (
  { assignments, groupId, membership, protocol }: GroupProtocol.SyncRequest
): Message<Synced> => ({
  request: "SyncGroup",
  key: 14,
  versions: [3, 3],
  flexibleFrom: 4,
  write: () =>
    syncGroupV3.createRequest(
      groupId,
      membership.generationId,
      membership.memberId,
      membership.groupInstanceId,
      "consumer",
      protocol,
      assignments.map(({ assignment, memberId }) => ({
        memberId,
        assignment: Buffer.from(assignment)
      }))
    ),
  read: (reader) => ({ errorCode: readCode(reader), assignment: reader.readBytes(false) })
})

export const heartbeat = (
  groupId: string,
  { generationId, groupInstanceId, memberId }: GroupMembership
): Message<number> => ({
  request: "Heartbeat",
  key: 12,
  versions: [3, 3],
  flexibleFrom: 4,
  write: () => heartbeatV3.createRequest(groupId, generationId, memberId, groupInstanceId),
  read: readCode
})

export const leaveGroup = (
  groupId: string,
  { groupInstanceId, memberId }: GroupMembership
): Message<number> => ({
  request: "LeaveGroup",
  key: 13,
  versions: [3, 3],
  flexibleFrom: 4,
  write: () => leaveGroupV3.createRequest(groupId, [{ memberId, groupInstanceId }]),
  read: readCode
})

export interface ConsumerHeartbeatAnswer {
  readonly errorCode: number
  readonly memberEpoch: number
  readonly heartbeatIntervalMillis: number
  /** `null` where it is as before. */
  readonly assignment:
    | ReadonlyArray<{ readonly topicId: string; readonly partitions: ReadonlyArray<number> }>
    | null
}

/** Not version 0, in which the coordinator makes the member's id, and a lost answer costs it. */
export const consumerHeartbeat = (
  { groupId, groupInstanceId, memberEpoch, memberId, partitions, subscription }:
    GroupProtocol.ConsumerHeartbeat
): Message<ConsumerHeartbeatAnswer> => ({
  request: "ConsumerGroupHeartbeat",
  key: 68,
  versions: [1, 1],
  flexibleFrom: 0,
  write: () =>
    consumerGroupHeartbeatV1.createRequest(
      groupId,
      memberId,
      memberEpoch,
      groupInstanceId,
      null,
      subscription?.rebalanceTimeoutMillis ?? unchanged,
      subscription === null ? null : [...subscription.topics],
      null,
      null,
      partitions?.map((one) => ({ topicId: one.topicId, partitions: [...one.partitions] })) ?? null
    ),
  read: (reader) => {
    const errorCode = readCode(reader)
    // What the coordinator says of the code, and the member's own id.
    reader.readNullableString()
    reader.readNullableString()
    const memberEpoch = reader.readInt32()
    const heartbeatIntervalMillis = reader.readInt32()
    const assignment = reader.readNullableStruct(() => {
      const partitions = reader.readArray(() => ({
        topicId: reader.readUUID(),
        partitions: reader.readArray(() => reader.readInt32(), true, false)
      }))
      reader.readTaggedFields()
      return partitions
    })
    return { errorCode, memberEpoch, heartbeatIntervalMillis, assignment }
  }
})

const unchanged = -1

/**
 * Answers the first code that is not 0. Members of the consumer protocol are told by version 9 or
 * newer.
 */
export const offsetCommit = (
  groupId: string,
  { generationId, groupInstanceId, memberId }: GroupMembership,
  positions: ReadonlyArray<TopicPartition & { readonly offset: bigint }>,
  protocol: GroupProtocolName
): Message<number> => ({
  request: "OffsetCommit",
  key: 8,
  versions: protocol === "classic" ? [7, 7] : [9, 9],
  flexibleFrom: 8,
  write: (version) =>
    (version < 9 ? offsetCommitV7 : offsetCommitV9).createRequest(
      groupId,
      generationId,
      memberId,
      groupInstanceId,
      Array.from(Map.groupBy(positions, ({ topic }) => topic), ([name, of]) => ({
        name,
        partitions: of.map(({ offset, partition }) => ({
          partitionIndex: partition,
          committedOffset: offset,
          committedLeaderEpoch: -1,
          committedMetadata: ""
        }))
      }))
    ),
  read: (reader, version) => {
    const isCompact = version >= 9
    reader.readInt32()
    const codes = reader.readArray(
      () => {
        reader.readString(isCompact)
        return reader.readArray(
          () => {
            reader.readInt32()
            return reader.readInt16()
          },
          isCompact,
          isCompact
        )
      },
      isCompact,
      isCompact
    ).flat()
    return codes.find((code) => code !== 0) ?? 0
  }
})

const isolationLevels = { read_uncommitted: 0, read_committed: 1 } as const

const timestamps = { earliest: -2n, latest: -1n } as const

export interface ListedOffset {
  readonly code: number
  readonly offset: bigint
}

export const listOffset = (
  { partition, topic }: TopicPartition,
  at: "earliest" | "latest",
  isolation: keyof typeof isolationLevels
): Message<ListedOffset> => ({
  request: "ListOffsets",
  key: 2,
  versions: [5, 5],
  flexibleFrom: 6,
  write: () =>
    listOffsetsV5.createRequest(-1, isolationLevels[isolation], [{
      name: topic,
      partitions: [{
        partitionIndex: partition,
        currentLeaderEpoch: -1,
        timestamp: timestamps[at]
      }]
    }]),
  read: (reader) => {
    reader.readInt32()
    const [found] = reader.readArray(
      () => {
        reader.readString(false)
        return reader.readArray(() => readListed(reader), false, false)
      },
      false,
      false
    ).flat()
    if (found === undefined) throw new RangeError("ListOffsets was answered without a partition")
    return found
  }
})

const readListed = (reader: Reader): ListedOffset => {
  // The partition.
  reader.readInt32()
  const code = reader.readInt16()
  // The timestamp.
  reader.readInt64()
  const offset = reader.readInt64()
  // The leader's epoch.
  reader.readInt32()
  return { code, offset }
}

export interface FetchedPartition extends GroupProtocol.PartitionFetch {
  readonly batches: ReadonlyArray<RecordBatches.RecordBatch>
}

export interface Fetched {
  readonly code: number
  readonly partitions: ReadonlyArray<FetchedPartition>
}

/** The client would decode every record, also of what is filtered out. */
export const fetch = (request: GroupProtocol.FetchRequest): Message<Fetched> => ({
  request: "Fetch",
  key: 1,
  versions: [11, 11],
  flexibleFrom: 12,
  write: () =>
    fetchV11.createRequest(
      request.maxWaitMillis,
      1,
      request.maxBytes,
      isolationLevels[request.isolation],
      0,
      -1,
      Array.from(Map.groupBy(request.partitions, ({ topic }) => topic), ([topic, of]) => ({
        // In this version the client takes the name for the id.
        topicId: topic,
        partitions: of.map(({ offset, partition }) => ({
          partition,
          currentLeaderEpoch: -1,
          fetchOffset: offset,
          lastFetchedEpoch: -1,
          partitionMaxBytes: request.maxPartitionBytes
        }))
      })),
      [],
      ""
    ),
  read: (reader) => {
    reader.readInt32()
    const code = reader.readInt16()
    reader.readInt32()
    const partitions = reader.readArray(
      () => {
        const topic = reader.readString(false)
        return reader.readArray(() => readPartition(reader, topic), false, false)
      },
      false,
      false
    ).flat()
    return { code, partitions }
  }
})

const readPartition = (reader: Reader, topic: string): FetchedPartition => {
  const partition = reader.readInt32()
  const code = reader.readInt16()
  const highWatermark = reader.readInt64()
  const lastStableOffset = reader.readInt64()
  // The start of the log.
  reader.readInt64()
  const aborted: ReadonlyArray<AbortedTransaction> = reader.readNullableArray(
    () => ({ producerId: reader.readInt64(), firstOffset: reader.readInt64() }),
    false,
    false
  ) ?? []
  // The replica to read from.
  reader.readInt32()
  const batches = RecordBatches.read(reader.readBytes(false), decompress)
  return { topic, partition, code, highWatermark, lastStableOffset, aborted, batches }
}

const readCode = (reader: Reader): number => {
  reader.readInt32()
  return reader.readInt16()
}
