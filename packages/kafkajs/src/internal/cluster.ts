/**
 * The inside of kafkajs that the driver uses: its cluster and brokers, and what they know of
 * topics.
 */

/** The part of kafkajs' `Broker` that is used. */
export interface Broker {
  readonly fetch: (request: FetchRequest) => Promise<unknown>
  readonly offsetFetch: (request: OffsetFetchRequest) => Promise<OffsetFetchResponse>
  readonly listOffsets: (request: ListOffsetsRequest) => Promise<ListOffsetsResponse>
  readonly joinGroup: (request: JoinGroupRequest) => Promise<JoinGroupResponse>
  readonly syncGroup: (request: SyncGroupRequest) => Promise<{ readonly memberAssignment: Buffer }>
  readonly heartbeat: (request: Member & { readonly groupGenerationId: number }) => Promise<unknown>
  readonly leaveGroup: (request: Member) => Promise<unknown>
  readonly offsetCommit: (request: OffsetCommitRequest) => Promise<unknown>
}

export interface Member {
  readonly groupId: string
  readonly memberId: string
}

export interface JoinGroupRequest extends Member {
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  readonly groupProtocols: ReadonlyArray<{ readonly name: string; readonly metadata: Buffer }>
}

export interface JoinGroupResponse {
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly members: ReadonlyArray<{ readonly memberId: string; readonly memberMetadata: Buffer }>
}

export interface SyncGroupRequest extends Member {
  readonly generationId: number
  readonly groupAssignment: ReadonlyArray<
    { readonly memberId: string; readonly memberAssignment: Buffer }
  >
}

export interface OffsetCommitRequest extends Member {
  readonly groupGenerationId: number
  readonly topics: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly offset: string }>
  }>
}

export interface ListOffsetsRequest {
  readonly replicaId: number
  readonly isolationLevel: number
  readonly topics: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<
      { readonly partition: number; readonly timestamp: string }
    >
  }>
}

export interface ListOffsetsResponse {
  readonly responses: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly offset: string }>
  }>
}

export interface FetchRequest {
  readonly replicaId: number
  readonly isolationLevel: number
  readonly maxWaitTime: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly rackId: string
  readonly topics: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<
      { readonly partition: number; readonly fetchOffset: string; readonly maxBytes: number }
    >
  }>
}

export interface OffsetFetchRequest {
  readonly groupId: string
  readonly topics: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number }>
  }>
}

export interface OffsetFetchResponse {
  readonly responses: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<
      { readonly partition: number; readonly offset: string; readonly metadata: string | null }
    >
  }>
}

/** The part of kafkajs' `Cluster` that is used. */
export interface Cluster {
  readonly targetTopics: Set<string>
  readonly connect: () => Promise<void>
  readonly disconnect: () => Promise<void>
  readonly isConnected: () => boolean
  readonly refreshMetadata: () => Promise<void>
  readonly refreshMetadataIfNecessary: () => Promise<void>
  readonly addMultipleTargetTopics: (topics: ReadonlyArray<string>) => Promise<void>
  readonly brokerPool: {
    readonly metadata: { readonly topicMetadata: ReadonlyArray<TopicMetadata> } | null
  }
  readonly findBroker: (query: { readonly nodeId: number | string }) => Promise<Broker>
  readonly findGroupCoordinator: (query: { readonly groupId: string }) => Promise<Broker>
}

interface TopicMetadata {
  readonly topic: string
  readonly topicErrorCode: number
  readonly partitionMetadata: ReadonlyArray<
    { readonly partitionId: number; readonly leader: number }
  >
}

export interface Topic {
  readonly code: number
  readonly partitionCount: number
  /** The node that leads a partition, or the code that says why there is none. */
  readonly leaderOf: (
    partition: number
  ) => { readonly leader: number; readonly code: 0 } | {
    readonly leader: null
    readonly code: number
  }
}

/**
 * What a cluster's newest metadata says of a topic.
 */
export const topicOf = (cluster: Cluster, topic: string): Topic => {
  const found = cluster.brokerPool.metadata?.topicMetadata.find((one) => one.topic === topic)
  const code = found === undefined ? unknownTopicOrPartition : found.topicErrorCode
  const partitions = found?.partitionMetadata ?? []
  return {
    code,
    partitionCount: partitions.length,
    leaderOf: (partition) => {
      if (code !== 0) return { leader: null, code }
      const leader = partitions.find(({ partitionId }) => partitionId === partition)?.leader
      if (leader === undefined) return { leader: null, code: unknownTopicOrPartition }
      return leader < 0 ? { leader: null, code: leaderNotAvailable } : { leader, code: 0 }
    }
  }
}

const unknownTopicOrPartition = 3
const leaderNotAvailable = 5
