import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type { ConsumerSession } from "../../ConsumerDriver.ts"
import { ConsumerEvent } from "../../ConsumerEvent.ts"
import type { GroupMembership } from "../../GroupOffsets.ts"
import { toKey, type TopicPartition } from "../../TopicPartition.ts"
import * as Lane from "./lane.ts"
import { type Member, publish } from "./member.ts"

/**
 * Takes partitions over, and the membership under which all of them are owned now.
 */
export const assigned = (
  member: Member,
  session: ConsumerSession,
  membership: GroupMembership,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { groupId } = member.settings
    member.membership = membership
    member.failures = 0
    const { generationId, memberId } = membership
    yield* publish(member, ConsumerEvent.Joined({ groupId, memberId, generationId }))
    for (const lane of member.lanes.values()) lane.membership = membership
    for (const topicPartition of partitions) {
      // A driver that tells of a partition twice without a loss between has lost it in between.
      yield* lost(member, [topicPartition], { tell: false })
      yield* start(member, Lane.make(topicPartition, session, membership))
    }
    yield* Metric.update(member.metrics.rebalances, 1)
    yield* Metric.update(member.metrics.assigned, member.lanes.size)
    yield* publish(member, ConsumerEvent.Assigned({ groupId, partitions }))
  })

const start = (member: Member, lane: Lane.Lane): Effect.Effect<void> =>
  Effect.gen(function*() {
    member.lanes.set(lane.key, lane)
    const before = member.ending.get(lane.key)
    const owning = Effect.suspend(() => member.own(lane))
    // What is still open of an earlier ownership ends first: both would write to the same places.
    lane.fiber = yield* Effect.forkIn(
      before === undefined ? owning : Effect.andThen(Fiber.await(before), owning),
      member.scope
    )
  })

const owned = (
  member: Member,
  partitions: ReadonlyArray<TopicPartition>
): ReadonlyArray<Lane.Lane> =>
  partitions.flatMap((topicPartition) => member.lanes.get(toKey(topicPartition)) ?? [])

const told = (lanes: ReadonlyArray<Lane.Lane>): ReadonlyArray<TopicPartition> =>
  lanes.map(({ partition, topic }) => ({ topic, partition }))

const fibersOf = (lanes: ReadonlyArray<Lane.Lane>) =>
  lanes.flatMap(({ fiber }) => fiber === null ? [] : [fiber])

/**
 * Drops partitions that are another member's already: what is open in them is interrupted, and can
 * only abort.
 */
export const lost = (
  member: Member,
  partitions: ReadonlyArray<TopicPartition>,
  options: { readonly tell: boolean } = { tell: true }
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const lanes = owned(member, partitions)
    if (lanes.length === 0) return
    for (const lane of lanes) {
      lane.state = "lost"
      Lane.wake(lane)
      yield* end(member, lane)
    }
    yield* Metric.update(member.metrics.assigned, member.lanes.size)
    if (!options.tell) return
    const { groupId } = member.settings
    yield* Metric.update(member.metrics.lost, lanes.length)
    yield* publish(member, ConsumerEvent.Lost({ groupId, partitions: told(lanes) }))
  })

/**
 * Interrupts what works in a lane, without waiting for it: the events that come next must not wait.
 */
const end = (member: Member, lane: Lane.Lane): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (member.lanes.get(lane.key) === lane) member.lanes.delete(lane.key)
    const { fiber } = lane
    if (fiber === null) return Effect.void
    member.ending.set(lane.key, fiber)
    return Fiber.interrupt(fiber).pipe(
      Effect.andThen(Effect.sync(() => {
        if (member.ending.get(lane.key) === fiber) member.ending.delete(lane.key)
      })),
      Effect.forkIn(member.scope, { startImmediately: true }),
      Effect.asVoid
    )
  })

/**
 * Lets partitions go that the group asks for: nothing more is taken from them, what is open ends,
 * and what has not ended in time is interrupted, so that its abort still fits into the budget.
 *
 * Not waited for by the event loop, so that a loss in the middle of it is seen.
 */
export const revoking = (
  member: Member,
  partitions: ReadonlyArray<TopicPartition>,
  budget: Duration.Duration,
  release: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { groupId } = member.settings
    const lanes = owned(member, partitions)
    yield* publish(member, ConsumerEvent.Revoking({ groupId, partitions: told(lanes) }))
    const graceful = Duration.max(
      Duration.subtract(budget, member.endingTime),
      Duration.divideUnsafe(budget, 2)
    )
    yield* letGo(member, lanes, graceful, Effect.never).pipe(
      Effect.andThen(release),
      Effect.andThen(publish(member, ConsumerEvent.Revoked({ groupId, partitions: told(lanes) }))),
      Effect.forkIn(member.scope, { startImmediately: true })
    )
  })

// Longer than the settling of any transaction, which is bounded by itself. What is not
// interruptible in a program must not keep a member from leaving.
const endLimit = Duration.seconds(60)

/**
 * Stops lanes, waits until what works in them has ended, and interrupts what has not within a limit
 * or when it is told to hurry.
 */
export const letGo = (
  member: Member,
  lanes: ReadonlyArray<Lane.Lane>,
  graceful: Duration.Duration,
  hurry: Effect.Effect<unknown>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const lane of lanes) {
      if (lane.state === "owned") lane.state = "revoking"
      Lane.wake(lane)
    }
    const fibers = fibersOf(lanes)
    yield* Effect.raceFirst(
      Effect.asVoid(Effect.timeoutOption(Fiber.awaitAll(fibers), graceful)),
      Effect.asVoid(hurry)
    )
    yield* Effect.timeoutOption(Fiber.interruptAll(fibers), endLimit)
    for (const lane of lanes) {
      lane.state = "lost"
      if (member.lanes.get(lane.key) === lane) member.lanes.delete(lane.key)
    }
    yield* Metric.update(member.metrics.assigned, member.lanes.size)
  })
