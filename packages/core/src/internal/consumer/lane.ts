import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { ConsumerSession, FetchedBatch, StartAt } from "../../ConsumerDriver.ts"
import type { GroupMembership } from "../../GroupOffsets.ts"
import { KafkaError, OffsetOutOfRange } from "../../KafkaError.ts"
import { toKey, type TopicPartition } from "../../TopicPartition.ts"

/**
 * One partition for as long as this member owns it without a break.
 *
 * *State*: `owned`; `revoking`, when nothing more may be taken and what is open has to end;
 * `lost`, when it is another member's and nothing of it can be committed.
 */
export interface Lane extends TopicPartition {
  readonly key: string
  readonly session: ConsumerSession
  /** The membership under which it was assigned. */
  readonly since: GroupMembership
  /** The membership under which it is owned now. */
  membership: GroupMembership
  state: "owned" | "revoking" | "lost"
  /** Where the next batch starts; `null` where the log's own start or end decides. */
  position: bigint | null
  /** What its own transactions have committed, which a fetch of offsets may not know yet. */
  committed: bigint | null
  /** The position that the broker has refused, until the lane has sought another. */
  outOfRange: bigint | null
  /** Completed when whoever waits in {@link take} has to look at the lane's state. */
  wake: Deferred.Deferred<void>
  /** What works in it. */
  fiber: Fiber.Fiber<void> | null
}

/**
 * Makes the lane of a partition that has just been assigned.
 */
export const make = (
  { partition, topic }: TopicPartition,
  session: ConsumerSession,
  membership: GroupMembership
): Lane => ({
  topic,
  partition,
  key: toKey({ topic, partition }),
  session,
  since: membership,
  membership,
  state: "owned",
  position: null,
  committed: null,
  outOfRange: null,
  wake: Deferred.makeUnsafe(),
  fiber: null
})

/**
 * Tells whoever waits in the lane to look at its state.
 */
export const wake = (lane: Lane): void => {
  const waiting = lane.wake
  lane.wake = Deferred.makeUnsafe()
  Deferred.doneUnsafe(waiting, Effect.void)
}

/**
 * Whether offsets that were fetched under a membership are this lane's: it was owned then, and has
 * been ever since.
 */
export const covers = (lane: Lane, { generationId, memberId }: GroupMembership): boolean =>
  lane.state !== "lost" && lane.since.memberId === memberId &&
  lane.since.generationId <= generationId

/**
 * Waits for the next batch of a lane, or answers `null` when the lane is no longer to be taken
 * from.
 *
 * Whoever calls it is the only one that takes from the lane or seeks in it.
 */
export const take = (
  lane: Lane,
  options: {
    readonly groupId: string
    readonly whenOutOfRange: "fail" | "earliest" | "latest"
    readonly seek: (lane: Lane, to: StartAt) => Effect.Effect<void, KafkaError>
  }
): Effect.Effect<FetchedBatch | null, KafkaError> =>
  Effect.suspend(() => {
    if (lane.state !== "owned") return Effect.succeed(null)
    const { outOfRange, position } = lane
    if (outOfRange !== null) {
      lane.outOfRange = null
      return Effect.andThen(leaveGap(lane, outOfRange, options), take(lane, options))
    }
    return Effect.flatMap(
      Effect.raceFirst(
        lane.session.take(lane),
        Effect.as(Deferred.await(lane.wake), null)
      ),
      (batch) => {
        if (batch === null) return take(lane, options)
        // A driver whose batches do not follow on each other would lose records or double them.
        if (position !== null && batch.position !== position) {
          return Effect.logWarning("kafka-once: a batch does not follow the one before", {
            topicPartition: lane.key,
            expected: position,
            received: batch.position
          }).pipe(
            Effect.andThen(options.seek(lane, position)),
            Effect.andThen(take(lane, options))
          )
        }
        lane.position = batch.nextOffset
        return Effect.succeed(batch)
      }
    )
  })

const leaveGap = (
  lane: Lane,
  position: bigint,
  { groupId, seek, whenOutOfRange }: Parameters<typeof take>[1]
): Effect.Effect<void, KafkaError> => {
  const { partition, topic } = lane
  if (whenOutOfRange === "fail") {
    const reason = new OffsetOutOfRange({ groupId, topic, partition, position })
    return Effect.fail(new KafkaError({ operation: "consume", reason }))
  }
  return Effect.andThen(
    Effect.logWarning("kafka-once: a position is not in the log any more; records are skipped", {
      groupId,
      topicPartition: lane.key,
      position,
      goesOnFrom: whenOutOfRange
    }),
    seek(lane, whenOutOfRange)
  )
}
