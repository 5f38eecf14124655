/**
 * Being a member of a group of the consumer protocol (KIP-848): the coordinator assigns, and one
 * request, ConsumerGroupHeartbeat, joins, stays, gives back and leaves.
 *
 * One fiber sends the heartbeats, one at a time, and does what their answers ask for. Meanwhile
 * what the coordinator takes back is waited for, by a fiber for each revocation; when it is
 * released the next heartbeat says so at once. Everything else goes on being fetched.
 *
 * Who is thrown out joins under a new id, so that nothing of the old membership can be mistaken
 * for the new one's.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import {
  type ConsumerSession,
  type ConsumerSessionOptions,
  SessionEvent
} from "../../ConsumerDriver.ts"
import { DriverError, Failure } from "../../DriverError.ts"
import type { GroupMembership } from "../../GroupOffsets.ts"
import type {
  ConsumerHeartbeat,
  ConsumerHeartbeatAnswer,
  GroupProtocol
} from "../../GroupProtocol.ts"
import type { TopicPartition } from "../../TopicPartition.ts"
import * as Beats from "./beats.ts"
import * as Coordinator from "./coordinator.ts"
import type { Health } from "./health.ts"
import type { OwnedPartitions } from "./ownedPartitions.ts"
import * as Reconciliation from "./reconciliation.ts"
import * as TopicWatch from "./topicWatch.ts"

const unknownMemberId = 25
const groupIdNotFound = 69
const fencedMemberEpoch = 110
const unreleasedInstanceId = 111

const joinEpoch = 0
const leaveEpoch = -1
const leaveForNowEpoch = -2

/** Between two looks for the name of a topic, and between two tries for a name that is taken. */
const lookMillis = 1_000

export const run = Effect.fnUntraced(function*(
  protocol: GroupProtocol,
  options: ConsumerSessionOptions,
  owned: OwnedPartitions,
  events: Queue.Queue<SessionEvent, DriverError>,
  health: Health
): Effect.fn.Return<Pick<ConsumerSession, "heartbeat">, DriverError, Scope.Scope> {
  const { groupId, groupInstanceId, requestTimeoutMillis, sessionTimeoutMillis } = options
  const heartbeatOf = protocol.consumerHeartbeat ?? (() => Effect.fail(unsupported))
  const reconciliation = Reconciliation.make(owned)
  const coordinator = yield* Coordinator.make(options, health)
  const topics = yield* TopicWatch.make(protocol, options.topics)
  const beats = Beats.make()
  const releasing = yield* FiberSet.make<void>()
  let memberId = yield* newMemberId
  /** Whether the coordinator may know this id. */
  let mayBeMember = false
  let membership: GroupMembership | null = null
  let intervalMillis = options.heartbeatIntervalMillis
  /** Whether the coordinator has to be told everything, because it may not know the last of it. */
  let tellAll = true
  let toldOwned = ""
  /** Since when the name of this static member has been somebody else's. */
  let takenSince: number | null = null

  const tell = (event: SessionEvent) => Effect.asVoid(Queue.offer(events, event))

  const send = (memberEpoch: number): Effect.Effect<ConsumerHeartbeatAnswer, DriverError> =>
    Effect.suspend(() => {
      const partitions = reconciliation.owned()
      const ownedNow = JSON.stringify(partitions)
      const heartbeat: ConsumerHeartbeat = {
        groupId,
        memberId,
        memberEpoch,
        groupInstanceId,
        subscription: tellAll
          ? { topics: options.topics, rebalanceTimeoutMillis: options.rebalanceTimeoutMillis }
          : null,
        partitions: tellAll || ownedNow !== toldOwned ? partitions : null
      }
      mayBeMember = true
      // Until it is answered: a heartbeat that is lost may or may not have been acted on.
      tellAll = true
      return Effect.tap(heartbeatOf(heartbeat), () =>
        Effect.sync(() => {
          tellAll = false
          toldOwned = ownedNow
        }))
    })

  const leave = Effect.suspend(() =>
    !mayBeMember ? Effect.void : Effect.ignore(Effect.timeout(
      heartbeatOf({
        groupId,
        memberId,
        memberEpoch: groupInstanceId === null ? leaveEpoch : leaveForNowEpoch,
        groupInstanceId,
        subscription: null,
        partitions: null
      }),
      requestTimeoutMillis
    ))
  )

  // The coordinator waits from the answer on that this member may have heard only when it was given
  // again, and has to hear of the release before its time is over.
  const budgetMillis = Math.max(
    options.rebalanceTimeoutMillis - 2 * requestTimeoutMillis,
    Math.floor(options.rebalanceTimeoutMillis / 2)
  )

  const giveBack = (partitions: ReadonlyArray<TopicPartition>) =>
    Effect.gen(function*() {
      const released = Deferred.makeUnsafe<void>()
      reconciliation.hold(partitions)
      yield* tell(SessionEvent.Revoking({
        partitions,
        budgetMillis,
        release: Effect.asVoid(Deferred.succeed(released, undefined))
      }))
      const inTime = Effect.as(Deferred.await(released), true)
      const tooLate = Effect.as(Effect.sleep(budgetMillis), false)
      yield* FiberSet.run(
        releasing,
        Effect.flatMap(Effect.raceFirst(inTime, tooLate), (isInTime) => {
          reconciliation.release(partitions)
          beats.soon()
          return isInTime ? Effect.void : tell(SessionEvent.Lost({ partitions }))
        })
      )
    })

  /** Takes over and gives back what the last assignment asks for. */
  const reconcile = (under: GroupMembership, isRenewed: boolean) =>
    Effect.gen(function*() {
      if (reconciliation.plan().isIncomplete) {
        const looked = yield* Effect.result(protocol.leaders(options.topics))
        // Asked again with the next heartbeat, and until then not owned.
        if (looked._tag === "Success") reconciliation.learn(looked.success)
      }
      const { added, removed } = reconciliation.plan()
      if (added.length > 0 || isRenewed) {
        reconciliation.adopt(under, added)
        yield* tell(SessionEvent.Assigned({
          membership: under,
          partitions: added.map(({ partition, topic }) => ({ topic, partition }))
        }))
      }
      if (added.length > 0) beats.soon()
      if (removed.length > 0) yield* giveBack(removed)
    })

  const follow = ({ assignment, heartbeatIntervalMillis, memberEpoch }: ConsumerHeartbeatAnswer) =>
    Effect.suspend(() => {
      intervalMillis = heartbeatIntervalMillis
      const isRenewed = membership?.generationId !== memberEpoch
      const under = membership === null || isRenewed
        ? { generationId: memberEpoch, memberId, groupInstanceId }
        : membership
      membership = under
      owned.renew(under)
      if (assignment !== null) reconciliation.assign(assignment)
      return Effect.andThen(coordinator.answered, reconcile(under, isRenewed))
    })

  /** The group goes on without this member, which begins anew. */
  const lose = Effect.gen(function*() {
    membership = null
    yield* FiberSet.clear(releasing)
    const partitions = reconciliation.clear()
    if (partitions.length > 0) yield* tell(SessionEvent.Lost({ partitions }))
  })

  const beginAnew = Effect.gen(function*() {
    // Whoever is behind its group is a member still, and would keep its partitions for a session.
    yield* leave
    memberId = yield* newMemberId
    mayBeMember = false
    tellAll = true
  })

  /** A static member that has died holds its name until the coordinator has missed it. */
  const isTaken = (error: DriverError) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      takenSince ??= now
      if (now - takenSince >= sessionTimeoutMillis) return Effect.fail(error)
      return Effect.andThen(coordinator.refused(error), Effect.sleep(lookMillis))
    })

  const join = Effect.gen(function*() {
    const joined = yield* Effect.result(send(joinEpoch))
    if (joined._tag === "Success") {
      takenSince = null
      return yield* follow(joined.success)
    }
    const error = joined.failure
    const code = Coordinator.codeOf(error)
    if (code === unreleasedInstanceId) return yield* isTaken(error)
    if (Coordinator.isPassing(error)) return yield* coordinator.unanswered(error)
    if (code !== unknownMemberId && code !== fencedMemberEpoch) {
      mayBeMember = code === null
      return yield* error
    }
    // An answer was lost, and with it what the coordinator knows under this id.
    yield* beginAnew
  })

  const stay = (under: GroupMembership) =>
    Effect.gen(function*() {
      yield* beats.next(reconciliation.plan().isIncomplete ? lookMillis : intervalMillis)
      const asked = beats.begin()
      const beat = yield* Effect.result(send(under.generationId))
      asked(beat)
      if (beat._tag === "Success") return yield* follow(beat.success)
      const error = beat.failure
      const code = Coordinator.codeOf(error)
      if (code === unknownMemberId || code === groupIdNotFound || code === fencedMemberEpoch) {
        yield* coordinator.answered
        yield* lose
        return yield* beginAnew
      }
      if (!Coordinator.isPassing(error)) return yield* error
      yield* coordinator.unanswered(error)
      beats.soon()
    })

  const life = Effect.gen(function*() {
    for (;;) {
      if (membership === null) {
        yield* join
      } else {
        yield* stay(membership)
        if (yield* topics.isDue) reconciliation.learn(yield* topics.look([]))
      }
    }
  })

  // Registered before the fiber is forked, so that no heartbeat of it comes after.
  yield* Effect.addFinalizer(() => leave)
  // A broker that refuses for good does so at once, and whoever opens the session is told.
  yield* join
  yield* Effect.forkScoped(
    Effect.catch(life, (error) => Effect.andThen(lose, Queue.fail(events, error))).pipe(
      Effect.ensuring(Effect.sync(() => beats.end(notAMember)))
    )
  )
  return {
    heartbeat: Effect.suspend(() => membership === null ? Effect.fail(notAMember) : beats.ask)
  }
})

/** 128 bits, as text. */
const newMemberId = Effect.map(
  Effect.all(Array.from({ length: 4 }, () => Random.nextIntBetween(0, 2 ** 32))),
  (words) => words.map((word) => word.toString(16).padStart(8, "0")).join("")
)

const notAMember = new DriverError({
  request: "ConsumerGroupHeartbeat",
  failure: Failure.Answered({ code: unknownMemberId }),
  detail: "The member is not in the group at the moment"
})

const unsupported = new DriverError({
  request: "ConsumerGroupHeartbeat",
  failure: Failure.Refused(),
  detail: "The client does not speak the consumer protocol"
})
