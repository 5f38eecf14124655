/**
 * The requests of a consumer, over connections of its own: a broker answers the requests of a
 * connection in turn, and a fetch that waits for records would hold up every other one.
 */
import type { ConsumerSessionOptions } from "@kafka-once/core/ConsumerDriver"
import type { DriverError, Request } from "@kafka-once/core/DriverError"
import type { GroupProtocol } from "@kafka-once/core/GroupProtocol"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { keyOf } from "./brokers.ts"
import type { Cluster } from "./cluster.ts"
import { answered } from "./failure.ts"
import * as Requests from "./groupRequests.ts"
import * as Link from "./link.ts"
import type { Message } from "./message.ts"
import type { Settings } from "./settings.ts"

const memberIdRequired = 79

/** What a broker may take for a join besides the time in which members join. */
const joinMarginMillis = 5_000

export const make = Effect.fnUntraced(function*(
  settings: Settings,
  cluster: Cluster,
  { groupProtocol, requestTimeoutMillis }: ConsumerSessionOptions
): Effect.fn.Return<GroupProtocol, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const group = yield* makeLane(settings, scope)
  const lanes = new Map<number, Lane>()
  // Nodes are told by numbers of this session's own, for what is known of them is their address.
  const addresses: Array<Link.Address> = []
  const numberOf = (address: Link.Address): number => {
    const found = addresses.findIndex((one) => keyOf(one) === keyOf(address))
    return found >= 0 ? found : addresses.push(address) - 1
  }

  /** A request to the coordinator; `refusal` finds the code in an answer. */
  const onCoordinator = <A>(
    groupId: string,
    message: Message<A>,
    refusal: (answer: A) => number,
    timeoutMillis = requestTimeoutMillis
  ): Effect.Effect<A, DriverError> =>
    cluster.coordinator("group", groupId).pipe(
      Effect.flatMap((address) => group.request(address, message, timeoutMillis)),
      Effect.flatMap(orRefused(message.request, refusal)),
      Effect.tapError((error) =>
        Effect.sync(() => cluster.noteCoordinator("group", groupId, error))
      )
    )

  const onNode = <A>(node: number, message: Message<A>): Effect.Effect<A, DriverError> =>
    Effect.gen(function*() {
      const address = addresses[node]
      if (address === undefined) return yield* answered(message.request, leaderNotAvailable)
      let lane = lanes.get(node)
      if (lane === undefined) {
        lane = yield* makeLane(settings, scope)
        lanes.set(node, lane)
      }
      return yield* lane.request(address, message, requestTimeoutMillis)
    })

  return {
    leaders: (topics) =>
      Effect.map(cluster.topics(topics, true), (found) =>
        topics.map((topic) => {
          const known = found.get(topic)
          const count = known?.partitionCount ?? 0
          return {
            topic,
            code: known?.code ?? unknownTopicOrPartition,
            topicId: known?.topicId ?? null,
            leaders: Array.from({ length: count }, (_, partition) => {
              const leader = known?.leaders.get(partition)
              return leader === undefined ? null : numberOf(leader)
            })
          }
        })),
    join: (request) => {
      const attempt = (memberId: string) =>
        onCoordinator(
          request.groupId,
          Requests.joinGroup(request, memberId),
          ({ errorCode }) => errorCode === memberIdRequired ? 0 : errorCode,
          request.rebalanceTimeoutMillis + joinMarginMillis
        )
      return attempt(request.memberId).pipe(
        Effect.flatMap((answer) =>
          answer.errorCode === memberIdRequired
            ? attempt(answer.memberId)
            : Effect.succeed(answer)
        ),
        Effect.flatMap((answer) =>
          answer.errorCode === 0
            ? Effect.succeed({
              generationId: answer.generationId,
              memberId: answer.memberId,
              leaderId: answer.leader,
              members: answer.members
            })
            : Effect.fail(answered("JoinGroup", answer.errorCode))
        )
      )
    },
    sync: (request) =>
      Effect.map(
        onCoordinator(request.groupId, Requests.syncGroup(request), ({ errorCode }) => errorCode),
        ({ assignment }) => assignment
      ),
    heartbeat: (groupId, membership) =>
      Effect.asVoid(
        onCoordinator(groupId, Requests.heartbeat(groupId, membership), (code) => code)
      ),
    leave: (groupId, membership) =>
      Effect.asVoid(
        onCoordinator(groupId, Requests.leaveGroup(groupId, membership), (code) => code)
      ),
    consumerHeartbeat: (heartbeat) =>
      Effect.map(
        onCoordinator(
          heartbeat.groupId,
          Requests.consumerHeartbeat(heartbeat),
          ({ errorCode }) => errorCode
        ),
        ({ assignment, heartbeatIntervalMillis, memberEpoch }) => ({
          memberEpoch,
          heartbeatIntervalMillis,
          assignment
        })
      ),
    commit: (groupId, membership, positions) =>
      positions.length === 0 ? Effect.void : Effect.asVoid(
        onCoordinator(
          groupId,
          Requests.offsetCommit(groupId, membership, positions, groupProtocol),
          (code) => code
        )
      ),
    fetch: (node, request) =>
      onNode(node, Requests.fetch(request)).pipe(
        Effect.flatMap(orRefused("Fetch", ({ code }) => code)),
        Effect.map(({ partitions }) => partitions)
      ),
    listOffset: (node, topicPartition, at, isolation) =>
      onNode(node, Requests.listOffset(topicPartition, at, isolation)).pipe(
        Effect.flatMap(orRefused("ListOffsets", ({ code }) => code)),
        Effect.map(({ offset }) => offset)
      )
  }
})

const unknownTopicOrPartition = 3
const leaderNotAvailable = 5

const orRefused = <A>(request: Request, refusal: (answer: A) => number) => (answer: A) => {
  const code = refusal(answer)
  return code === 0 ? Effect.succeed(answer) : Effect.fail(answered(request, code))
}

interface Lane {
  readonly request: <A>(
    address: Link.Address,
    message: Message<A>,
    timeoutMillis: number
  ) => Effect.Effect<A, DriverError>
}

/** One connection, opened anew where it is not open or leads elsewhere. */
const makeLane = Effect.fnUntraced(function*(
  settings: Settings,
  scope: Scope.Scope
): Effect.fn.Return<Lane> {
  let current: { readonly key: string; readonly link: Link.Link } | null = null
  // Two requests at once must not open two.
  const oneAtATime = (yield* Semaphore.make(1)).withPermit
  const drop = Effect.suspend(() => {
    const dropped = current
    current = null
    return dropped === null ? Effect.void : dropped.link.close
  })
  yield* Scope.addFinalizer(scope, drop)
  const connected = (address: Link.Address): Effect.Effect<Link.Link, DriverError> =>
    Effect.suspend(() => {
      const key = keyOf(address)
      if (current?.key === key && current.link.isOpen()) return Effect.succeed(current.link)
      return Effect.andThen(
        drop,
        Effect.uninterruptibleMask((restore) =>
          Effect.map(restore(Link.open(settings, address, () => {})), (link) => {
            current = { key, link }
            return link
          })
        )
      )
    })
  return {
    request: (address, message, timeoutMillis) =>
      Effect.flatMap(
        oneAtATime(connected(address)),
        (link) => link.request(message, timeoutMillis)
      )
  }
})
