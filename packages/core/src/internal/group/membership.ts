/**
 * Being a member of a group of the classic protocol: joining, heartbeats, and giving partitions
 * back.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import {
  type ConsumerSession,
  type ConsumerSessionOptions,
  SessionEvent
} from "../../ConsumerDriver.ts"
import { DriverError, Failure } from "../../DriverError.ts"
import type { GroupMembership } from "../../GroupOffsets.ts"
import type { GroupProtocol, Joined } from "../../GroupProtocol.ts"
import type { TopicPartition } from "../../TopicPartition.ts"
import * as Assignment from "./assignment.ts"
import * as Coordinator from "./coordinator.ts"
import type { Health } from "./health.ts"
import type { OwnedPartitions } from "./ownedPartitions.ts"
import * as Signal from "./signal.ts"
import * as TopicWatch from "./topicWatch.ts"

const illegalGeneration = 22
const unknownMemberId = 25
const rebalanceInProgress = 27

export const run = Effect.fnUntraced(function*(
  protocol: GroupProtocol,
  options: ConsumerSessionOptions,
  owned: OwnedPartitions,
  events: Queue.Queue<SessionEvent, DriverError>,
  health: Health
): Effect.fn.Return<Pick<ConsumerSession, "heartbeat">, never, Scope.Scope> {
  const { groupId, groupInstanceId, heartbeatIntervalMillis, sessionTimeoutMillis } = options
  const coordinator = yield* Coordinator.make(options, health)
  const topics = yield* TopicWatch.make(protocol, options.topics)
  const early = Signal.make()
  let isEarly = false
  let memberId = ""
  let membership: GroupMembership | null = null
  /** The partitions that were assigned to the group, where this member leads it. */
  let assignedCounts: ReadonlyMap<string, number> | null = null
  /** Completes when the join that is on its way is answered. */
  let joining: Deferred.Deferred<void> | null = null

  const tell = (event: SessionEvent) => Effect.asVoid(Queue.offer(events, event))

  const partitionCounts = (topics: ReadonlyArray<string>) =>
    Effect.map(
      protocol.leaders(topics),
      (found) => new Map(found.map(({ leaders, topic }) => [topic, leaders.length]))
    )

  const assignmentsOf = Effect.fnUntraced(function*({ leaderId, members }: Joined) {
    if (leaderId !== memberId) {
      assignedCounts = null
      return []
    }
    const subscribers = yield* Effect.try({
      try: () =>
        members.map((member) => ({
          memberId: member.memberId,
          topics: Assignment.decodeSubscription(member.metadata)
        })),
      catch: unreadable
    })
    assignedCounts = yield* partitionCounts([
      ...new Set(subscribers.flatMap(({ topics }) => topics))
    ])
    return Array.from(
      Assignment.assign(subscribers, assignedCounts),
      ([member, partitions]) => ({
        memberId: member,
        assignment: Assignment.encodeAssignment(partitions)
      })
    )
  })

  const joinOnce = Effect.gen(function*() {
    const answer = Deferred.makeUnsafe<void>()
    joining = answer
    const joined = yield* protocol.join({
      groupId,
      memberId,
      groupInstanceId,
      sessionTimeoutMillis,
      rebalanceTimeoutMillis: options.rebalanceTimeoutMillis,
      protocols: [{
        name: Assignment.assignor,
        metadata: Assignment.encodeSubscription(options.topics)
      }]
    }).pipe(
      Effect.tap((joined) =>
        Effect.sync(() => {
          memberId = joined.memberId
        })
      ),
      Effect.ensuring(Effect.suspend(() => {
        joining = null
        return Deferred.succeed(answer, undefined)
      }))
    )
    const under = { generationId: joined.generationId, memberId, groupInstanceId }
    const bytes = yield* protocol.sync({
      groupId,
      membership: under,
      protocol: Assignment.assignor,
      assignments: yield* assignmentsOf(joined)
    })
    const partitions = yield* Effect.try({
      try: () => Assignment.decodeAssignment(bytes),
      catch: unreadable
    })
    return { under, partitions }
  })

  const join: Effect.Effect<void, DriverError> = Effect.gen(function*() {
    for (;;) {
      const joined = yield* Effect.result(joinOnce)
      if (joined._tag === "Success") {
        yield* coordinator.answered
        const { partitions, under } = joined.success
        membership = under
        owned.adopt(under, partitions)
        return yield* tell(SessionEvent.Assigned({ membership: under, partitions }))
      }
      const error = joined.failure
      const code = Coordinator.codeOf(error)
      if (code === unknownMemberId) memberId = ""
      if (code === unknownMemberId || code === illegalGeneration || code === rebalanceInProgress) {
        yield* coordinator.answered
      } else if (Coordinator.isPassing(error)) {
        yield* coordinator.unanswered(error)
      } else {
        return yield* error
      }
    }
  })

  /** Whether the leading member finds more or fewer partitions than it has assigned. */
  const isOutgrown = Effect.gen(function*() {
    const before = assignedCounts ?? new Map<string, number>()
    const looked = yield* topics.look([...before.keys()])
    return looked.some(({ leaders, topic }) => {
      const count = before.get(topic)
      return count !== undefined && count !== leaders.length
    })
  })

  const nextBeat = Effect.raceFirst(
    Effect.sleep(heartbeatIntervalMillis),
    early.until(() => isEarly || undefined)
  )

  /** Heartbeats until the group wants this member to do something, or has lost it. */
  const beat = (under: GroupMembership, isHolding: boolean) =>
    Effect.gen(function*() {
      for (;;) {
        yield* nextBeat
        isEarly = false
        const exit = yield* Effect.result(protocol.heartbeat(groupId, under))
        const code = exit._tag === "Failure" ? Coordinator.codeOf(exit.failure) : 0
        if (exit._tag === "Success" || code === rebalanceInProgress) {
          yield* coordinator.answered
          if (code === rebalanceInProgress && !isHolding) return "rebalance"
        } else if (code === unknownMemberId || code === illegalGeneration) {
          if (code === unknownMemberId) memberId = ""
          yield* coordinator.answered
          return "lost"
        } else if (Coordinator.isPassing(exit.failure)) {
          yield* coordinator.unanswered(exit.failure)
        } else {
          return yield* exit.failure
        }
        if (!isHolding && (yield* topics.isDue) && (yield* isOutgrown)) return "rebalance"
      }
    })

  const lose = Effect.suspend(() => {
    const partitions = owned.all()
    owned.disown(partitions)
    return partitions.length === 0 ? Effect.void : tell(SessionEvent.Lost({ partitions }))
  })

  // The group began to wait up to one heartbeat and one request before this member heard of it.
  const budgetMillis = Math.max(
    options.rebalanceTimeoutMillis - heartbeatIntervalMillis - options.requestTimeoutMillis,
    Math.floor(options.rebalanceTimeoutMillis / 2)
  )

  const giveBack = (under: GroupMembership, partitions: ReadonlyArray<TopicPartition>) =>
    Effect.gen(function*() {
      const released = Deferred.makeUnsafe<void>()
      owned.hold(partitions)
      yield* tell(SessionEvent.Revoking({
        partitions,
        budgetMillis,
        release: Effect.asVoid(Deferred.succeed(released, undefined))
      }))
      const how = yield* Effect.raceAllFirst([
        Effect.as(Deferred.await(released), "released"),
        Effect.as(Effect.sleep(budgetMillis), "lost"),
        beat(under, true)
      ])
      if (how === "released") owned.disown(partitions)
      else yield* lose
    })

  const life = Effect.gen(function*() {
    for (;;) {
      yield* join
      const under = membership
      if (under === null) continue
      const how = yield* beat(under, false)
      const partitions = owned.all()
      if (how === "rebalance" && partitions.length > 0) yield* giveBack(under, partitions)
      else yield* lose
      membership = null
    }
  })

  // Registered before the fiber is forked, so that nothing joins again once it runs.
  yield* Effect.addFinalizer(() =>
    memberId === "" || groupInstanceId !== null ? Effect.void : Effect.ignore(
      Effect.timeout(
        protocol.leave(groupId, { generationId: -1, memberId, groupInstanceId }),
        options.requestTimeoutMillis
      )
    )
  )
  yield* Effect.forkScoped(
    Effect.catch(life, (error) => Effect.andThen(lose, Queue.fail(events, error)))
  )

  // Registered after the fiber is forked, so that it runs before that is interrupted. Until a join
  // is answered the member has no id to leave under, and the broker reads nothing more of the
  // connection. One that goes without leaving holds up its group for the session timeout.
  yield* Effect.addFinalizer(() =>
    joining === null || groupInstanceId !== null
      ? Effect.void
      // The others hear of the rebalance with their next heartbeat.
      : Effect.timeoutOption(
        Deferred.await(joining),
        heartbeatIntervalMillis + options.requestTimeoutMillis
      )
  )

  const heartbeat = Effect.suspend(() =>
    membership === null ? Effect.fail(notAMember) : protocol.heartbeat(groupId, membership)
  ).pipe(
    Effect.tapError(() =>
      // The member's own heartbeat finds out at once what is to be done.
      Effect.sync(() => {
        isEarly = true
        early.changed()
      })
    )
  )
  return { heartbeat }
})

const unreadable = (): DriverError =>
  new DriverError({
    request: "SyncGroup",
    failure: Failure.NotKafka(),
    detail: "Another member of the group speaks another protocol"
  })

const notAMember = new DriverError({
  request: "Heartbeat",
  failure: Failure.Answered({ code: unknownMemberId }),
  detail: "The member is not in the group at the moment"
})
