/**
 * The requests of a consumer over kafkajs' brokers; its own consumer is not used.
 *
 * kafkajs' consumer repeats, rewinds and commits by itself, lets records of aborted transactions
 * through (K14), loses the last stable offset (K16) and cannot hold a revocation (K24). Its brokers
 * send one request, once.
 */
import type { Settings } from "@kafka-once/core/ConnectionOptions"
import { DriverError, Failure, type Request } from "@kafka-once/core/DriverError"
import type { FetchRequest, GroupProtocol, PartitionFetch } from "@kafka-once/core/GroupProtocol"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { type Broker, type Cluster, topicOf } from "./cluster.ts"
import * as Connection from "./connection.ts"
import * as FetchAnswer from "./fetchAnswer.ts"
import type { Logging } from "./logging.ts"
import type { RawFetch } from "./repair.ts"

const isolationLevels = { read_uncommitted: 0, read_committed: 1 } as const

const timestamps = { earliest: "-2", latest: "-1" } as const

/** Requests to the group wait for no fetch, and no fetch for that of another node. */
export const make = Effect.fnUntraced(function*(
  settings: Settings,
  logging: Logging,
  requestTimeoutMillis: number
): Effect.fn.Return<GroupProtocol, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const open = Connection.make(settings, logging, requestTimeoutMillis)
  const group = yield* open
  const metadata = yield* open
  const nodes = new Map<number, Connection.Connection>()
  let coordinator: { readonly cluster: Cluster; readonly broker: Broker } | null = null

  /** Runs a request on the coordinator, which is looked up again after one failed. */
  const onCoordinator = <A>(
    groupId: string,
    body: (broker: Broker) => Promise<A>
  ): Effect.Effect<A, DriverError> =>
    group.run(async (cluster) => {
      if (coordinator?.cluster !== cluster) {
        await Connection.findTopics(cluster, [])
        await cluster.refreshMetadataIfNecessary()
        coordinator = { cluster, broker: await cluster.findGroupCoordinator({ groupId }) }
      }
      return body(coordinator.broker)
    }).pipe(
      Effect.tapError(() =>
        Effect.sync(() => {
          coordinator = null
        })
      )
    )

  const onNode = <A>(
    node: number,
    body: (broker: Broker) => Promise<A>
  ): Effect.Effect<A, DriverError> =>
    Effect.gen(function*() {
      let connection = nodes.get(node)
      if (connection === undefined) {
        connection = yield* Scope.provide(open, scope)
        nodes.set(node, connection)
      }
      return yield* connection.run(async (cluster) => {
        await Connection.findTopics(cluster, [])
        await cluster.refreshMetadataIfNecessary()
        return body(await cluster.findBroker({ nodeId: node }))
      })
    })

  return {
    leaders: (topics) =>
      metadata.run(async (cluster) => {
        await Connection.findTopics(cluster, topics)
        return topics.map((topic) => {
          const { code, leaderOf, partitionCount } = topicOf(cluster, topic)
          const partitions = Array.from({ length: partitionCount }, (_, partition) => partition)
          return { topic, code, leaders: partitions.map((one) => leaderOf(one).leader) }
        })
      }),
    join: ({ groupId, memberId, protocols, rebalanceTimeoutMillis, sessionTimeoutMillis }) =>
      onCoordinator(groupId, async (broker) => {
        const { generationId, leaderId, members, memberId: given } = await broker.joinGroup({
          groupId,
          memberId,
          sessionTimeout: sessionTimeoutMillis,
          rebalanceTimeout: rebalanceTimeoutMillis,
          groupProtocols: protocols.map(({ metadata: bytes, name }) => ({
            name,
            metadata: Buffer.from(bytes)
          }))
        })
        return {
          generationId,
          leaderId,
          memberId: given,
          members: members.map((one) => ({
            memberId: one.memberId,
            metadata: one.memberMetadata
          }))
        }
      }),
    sync: ({ assignments, groupId, membership: { generationId, memberId } }) =>
      onCoordinator(groupId, async (broker) => {
        const { memberAssignment } = await broker.syncGroup({
          groupId,
          generationId,
          memberId,
          groupAssignment: assignments.map(({ assignment, memberId: member }) => ({
            memberId: member,
            memberAssignment: Buffer.from(assignment)
          }))
        })
        return memberAssignment
      }),
    heartbeat: (groupId, { generationId, memberId }) =>
      onCoordinator(groupId, async (broker) => {
        await broker.heartbeat({ groupId, memberId, groupGenerationId: generationId })
      }),
    leave: (groupId, { memberId }) =>
      onCoordinator(groupId, async (broker) => {
        await broker.leaveGroup({ groupId, memberId })
      }),
    commit: (groupId, { generationId, memberId }, positions) =>
      positions.length === 0 ? Effect.void : onCoordinator(groupId, async (broker) => {
        await broker.offsetCommit({
          groupId,
          memberId,
          groupGenerationId: generationId,
          topics: Array.from(
            Map.groupBy(positions, ({ topic }) => topic),
            ([topic, ofTopic]) => ({
              topic,
              partitions: ofTopic.map(({ offset, partition }) => ({
                partition,
                offset: offset.toString()
              }))
            })
          )
        })
      }),
    fetch: (node, request) =>
      Effect.flatMap(
        onNode(node, (broker) => broker.fetch(fetchRequestOf(request))),
        (raw) => readFetch(raw as RawFetch)
      ),
    listOffset: (node, { partition, topic }, at, isolation) =>
      Effect.flatMap(
        onNode(node, (broker) =>
          broker.listOffsets({
            replicaId: -1,
            isolationLevel: isolationLevels[isolation],
            topics: [{ topic, partitions: [{ partition, timestamp: timestamps[at] }] }]
          })),
        ({ responses }) => {
          const offset = responses[0]?.partitions[0]?.offset
          return offset === undefined
            ? Effect.fail(notKafka("ListOffsets", "The answer lacks the partition"))
            : Effect.succeed(BigInt(offset))
        }
      )
  }
})

const fetchRequestOf = (
  { isolation, maxBytes, maxPartitionBytes, maxWaitMillis, partitions }: FetchRequest
) => ({
  replicaId: -1,
  isolationLevel: isolationLevels[isolation],
  maxWaitTime: maxWaitMillis,
  minBytes: 1,
  maxBytes,
  rackId: "",
  topics: Array.from(
    Map.groupBy(partitions, ({ topic }) => topic),
    ([topic, ofTopic]) => ({
      topic,
      partitions: ofTopic.map(({ offset, partition }) => ({
        partition,
        fetchOffset: offset.toString(),
        maxBytes: maxPartitionBytes
      }))
    })
  )
})

const readFetch = (raw: RawFetch): Effect.Effect<ReadonlyArray<PartitionFetch>, DriverError> =>
  Effect.flatMap(
    Effect.try({
      try: () => FetchAnswer.read(raw),
      catch: () => notKafka("Fetch", "The answer ends too early")
    }),
    ({ code, partitions }) =>
      code === 0 ? Effect.succeed(partitions) : Effect.fail(
        new DriverError({
          request: "Fetch",
          failure: Failure.Answered({ code }),
          detail: `Code ${code}`
        })
      )
  )

const notKafka = (request: Request, detail: string): DriverError =>
  new DriverError({ request, failure: Failure.NotKafka(), detail })
