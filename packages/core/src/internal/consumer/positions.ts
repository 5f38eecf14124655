import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { FetchedBatch, StartAt } from "../../ConsumerDriver.ts"
import { ConsumerEvent } from "../../ConsumerEvent.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { toKey, type TopicPartition } from "../../TopicPartition.ts"
import * as Lane from "./lane.ts"
import { type Member, persist, publish } from "./member.ts"

/**
 * Reads a lane from there on.
 */
export const seek = (
  member: Member,
  lane: Lane.Lane,
  to: StartAt
): Effect.Effect<void, KafkaError> =>
  persist(member, "consume", lane.session.seek(lane, to)).pipe(
    Effect.andThen(Effect.suspend(() => {
      lane.position = typeof to === "bigint" ? to : null
      lane.outOfRange = null
      return member.paused.has(lane.key) ? lane.session.pause([lane]) : Effect.void
    }))
  )

/**
 * Reads a lane from the group's committed position on, or from where the consumer starts without
 * one. Whoever commits for the group has to be done before: an open transaction could still move
 * the position.
 *
 * A commit is answered before its markers are written, so that a client without stable offsets may
 * be told the position before it. What the lane itself has committed is never read again.
 */
export const toCommitted = (
  member: Member,
  lane: Lane.Lane
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const { groupId, startFrom } = member.settings
    const [committed] = yield* persist(
      member,
      "consume",
      member.driver.committedOffsets(groupId, [lane])
    )
    const position = laterOf(committed?.offset ?? null, lane.committed)
    yield* seek(member, lane, position ?? startFrom)
    yield* tellPosition(member, lane)
  })

const tellPosition = (member: Member, lane: Lane.Lane): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { partition, position, topic } = lane
    const { groupId } = member.settings
    const topicPartition = { topic, partition }
    return publish(member, ConsumerEvent.Positioned({ groupId, topicPartition, position }))
  })

/**
 * Reads a lane from where its program asks, and says so.
 */
export const seekTo = (
  member: Member,
  lane: Lane.Lane,
  to: StartAt
): Effect.Effect<void, KafkaError> =>
  Effect.andThen(seek(member, lane, to), tellPosition(member, lane))

const laterOf = (one: bigint | null, other: bigint | null): bigint | null =>
  one === null || (other !== null && other > one) ? other : one

/**
 * Waits for the next batch of a lane, or answers `null` when it is no longer to be taken from.
 */
export const take = (
  member: Member,
  lane: Lane.Lane
): Effect.Effect<FetchedBatch | null, KafkaError> => {
  const { groupId, whenOutOfRange } = member.settings
  return Lane.take(lane, { groupId, whenOutOfRange, seek: (at, to) => seek(member, at, to) })
}

/**
 * Runs what has nothing open in a lane, until the lane is taken away; tells whether it ended by
 * itself.
 */
export const whileOwned = <E, R>(
  lane: Lane.Lane,
  effect: Effect.Effect<void, E, R>
): Effect.Effect<boolean, E, R> => {
  const taken: Effect.Effect<boolean> = Effect.suspend(() =>
    lane.state !== "owned"
      ? Effect.succeed(false)
      : Effect.andThen(Deferred.await(lane.wake), taken)
  )
  return Effect.raceFirst(Effect.as(effect, true), taken)
}

/**
 * Stops fetching partitions, also when they are assigned again later.
 */
export const pause = (
  member: Member,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<void> =>
  Effect.forEach(partitions, (topicPartition) => {
    const key = toKey(topicPartition)
    member.paused.add(key)
    const lane = member.lanes.get(key)
    return lane === undefined ? Effect.void : lane.session.pause([lane])
  }, { discard: true })

/**
 * Goes on fetching partitions.
 */
export const resume = (
  member: Member,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<void> =>
  Effect.forEach(partitions, (topicPartition) => {
    const key = toKey(topicPartition)
    member.paused.delete(key)
    const lane = member.lanes.get(key)
    return lane === undefined ? Effect.void : lane.session.resume([lane])
  }, { discard: true })

/**
 * How many offsets there are from a lane's position to the end of what it may read.
 */
export const lagOf = ({ settings }: Member, lane: Lane.Lane): bigint | null => {
  const watermarks = lane.session.watermarks(lane)
  if (watermarks === null || lane.position === null) return null
  const { highWatermark, lastStableOffset } = watermarks
  const end = settings.isolation === "read_committed" && lastStableOffset !== null
    ? lastStableOffset
    : highWatermark
  return end > lane.position ? end - lane.position : 0n
}

/**
 * How far a member is in each of its lanes.
 */
export const positionsOf = (member: Member) =>
  [...member.lanes.values()].map((lane) => ({
    topic: lane.topic,
    partition: lane.partition,
    position: lane.position,
    lagRecords: lagOf(member, lane),
    paused: member.paused.has(lane.key)
  }))
