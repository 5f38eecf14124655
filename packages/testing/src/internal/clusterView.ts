/**
 * What the nodes of a cluster say about it, asked one by one on their internal listeners, which
 * every kind of client listener leaves alone.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import { internalUser } from "./brokerSettings.ts"
import * as ErrorCode from "./protocol/errorCode.ts"
import * as ProtocolClient from "./protocol/protocolClient.ts"
import type { ProtocolError } from "./protocol/protocolError.ts"

/** A node that is to be asked. `secret` is set where the internal listener wants a login. */
export interface Asked {
  readonly id: number
  readonly internalPort: number
  readonly secret: string | null
}

export interface Partition {
  readonly topic: string
  readonly partition: number
  /** -1 while there is none. */
  readonly leader: number
  readonly replicas: ReadonlyArray<number>
  readonly inSync: ReadonlyArray<number>
}

/** What one node knows. */
export interface View {
  readonly brokers: ReadonlyArray<number>
  readonly partitions: ReadonlyArray<Partition>
}

const requestTimeout = "2 seconds"

const connect = Effect.fnUntraced(function*(
  { internalPort, secret }: Asked
): Effect.fn.Return<ProtocolClient.ProtocolClient, ProtocolError | string, Scope.Scope> {
  const client = yield* ProtocolClient.connect("127.0.0.1", internalPort, {
    clientId: "kafka-once-owner",
    requestTimeout
  })
  if (secret === null) return client
  yield* client.request("SaslHandshake", 1, { mechanism: "PLAIN" })
  const { errorCode } = yield* client.request("SaslAuthenticate", 2, {
    authBytes: Buffer.from(`\0${internalUser}\0${secret}`)
  })
  return errorCode === 0 ? client : yield* Effect.fail(`the login: ${ErrorCode.nameOf(errorCode)}`)
})

const problemOf = (asked: Asked) => (error: ProtocolError | string): string =>
  `node ${asked.id}: ${typeof error === "string" ? error : error.message}`

/** The brokers that a node sees, and all partitions of a topic, or of all topics. */
export const look = (asked: Asked, topic: string | null): Effect.Effect<View, string> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connect(asked)
    const { brokers, topics } = yield* client.request("Metadata", 12, {
      topics: topic === null ? null : [{ name: topic }],
      allowAutoTopicCreation: false
    })
    const bad = topics.find(({ errorCode }) => errorCode !== 0)
    if (bad !== undefined) {
      return yield* Effect.fail(`${bad.name}: ${ErrorCode.nameOf(bad.errorCode)}`)
    }
    return {
      brokers: brokers.map(({ nodeId }) => nodeId).sort((one, other) => one - other),
      partitions: topics.flatMap(({ name, partitions }) =>
        partitions.map(({ isrNodes, leaderId, partitionIndex, replicaNodes }) => ({
          topic: name ?? "",
          partition: partitionIndex,
          leader: leaderId,
          replicas: replicaNodes,
          inSync: isrNodes
        }))
      )
    }
  })).pipe(Effect.mapError(problemOf(asked)))

/**
 * Whether a node takes requests for the partitions of a topic that it leads: it knows that it leads
 * a little before it does.
 */
export const leads = (asked: Asked, view: View): Effect.Effect<void, string> =>
  Effect.scoped(Effect.gen(function*() {
    const led = view.partitions.filter(({ leader }) => leader === asked.id)
    if (led.length === 0) return
    const client = yield* connect(asked)
    const { topics } = yield* client.request("ListOffsets", 7, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [...Map.groupBy(led, ({ topic }) => topic)].map(([name, ofTopic]) => ({
        name,
        partitions: ofTopic.map(({ partition }) => ({
          partitionIndex: partition,
          currentLeaderEpoch: -1,
          timestamp: -1n
        }))
      }))
    })
    const refused = topics.flatMap(({ partitions }) => partitions).find(({ errorCode }) =>
      errorCode !== 0
    )
    if (refused !== undefined) {
      return yield* Effect.fail(
        `partition ${refused.partitionIndex}: ${ErrorCode.nameOf(refused.errorCode)}`
      )
    }
  })).pipe(Effect.mapError(problemOf(asked)))

const keyTypes = { group: 0, transaction: 1 } as const

/** The node that coordinates a group or a transactional id, as one node knows it. */
export const coordinator = (
  asked: Asked,
  type: keyof typeof keyTypes,
  key: string
): Effect.Effect<number, string> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connect(asked)
    const { coordinators: [row] = [] } = yield* client.request("FindCoordinator", 4, {
      keyType: keyTypes[type],
      coordinatorKeys: [key]
    })
    if (row?.errorCode === 0 && row.nodeId !== undefined) return row.nodeId
    return yield* Effect.fail(`FindCoordinator: ${ErrorCode.nameOf(row?.errorCode ?? -1)}`)
  })).pipe(Effect.mapError(problemOf(asked)))

/** Why a view is not that of a whole cluster of so many nodes, or `null` where it is. */
export const incomplete = ({ brokers, partitions }: View, nodes: number): string | null => {
  if (brokers.length < nodes) return `only the nodes ${brokers.join(", ")} are registered`
  const behind = partitions.find((one) => one.leader < 0 || one.inSync.length < one.replicas.length)
  return behind === undefined
    ? null
    : `${behind.topic}-${behind.partition} has the leader ${behind.leader}, and of its replicas ` +
      `${behind.replicas.join(", ")} only ${behind.inSync.join(", ") || "none"} in sync`
}

/** What was waited for and did not come. */
export const notSeen = (request: string, detail: string): EmbeddedKafkaError.EmbeddedKafkaError =>
  EmbeddedKafkaError.make(
    new EmbeddedKafkaError.RequestRefused({ request, error: "NotInTime", detail })
  )
