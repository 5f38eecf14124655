import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type { StartAt } from "../../ConsumerDriver.ts"
import { ConsumerFenced, KafkaError, Misconfigured } from "../../KafkaError.ts"
import { toKey, type TopicPartition } from "../../TopicPartition.ts"
import type { Hand, HandOut, Move } from "./handOut.ts"
import type { Lane } from "./lane.ts"
import type { Member } from "./member.ts"
import { whileOwned } from "./positions.ts"

/**
 * Reads partitions from the group's committed positions on; those that are not owned are their new
 * owners'.
 */
export const rewind = (
  member: Member,
  handOut: HandOut,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<void, KafkaError> =>
  Effect.forEach(partitions, (at) => move(member, handOut, at, "committed"), { discard: true })

/**
 * Reads a partition from there on, where it is owned.
 */
export const seek = (
  member: Member,
  handOut: HandOut,
  at: TopicPartition,
  to: StartAt
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    if (!isStart(to)) return Effect.fail(notAStart(to))
    return Effect.flatMap(move(member, handOut, at, to), (isOwned) => {
      const { groupId } = member.settings
      const reason = new ConsumerFenced({ groupId, code: 22, name: "ILLEGAL_GENERATION" })
      return isOwned ? Effect.void : Effect.fail(new KafkaError({ operation: "consume", reason }))
    })
  })

const maxOffset = 2n ** 63n - 1n

// Clients take negative offsets for the ends of the log.
const isStart = (to: unknown): boolean =>
  to === "earliest" || to === "latest" || (typeof to === "bigint" && to >= 0n && to <= maxOffset)

const notAStart = (to: unknown): KafkaError =>
  new KafkaError({
    operation: "consume",
    reason: new Misconfigured({
      setting: "to",
      value: typeof to === "bigint" ? `${to}` : typeof to,
      problem: 'must be "earliest", "latest", or a bigint from 0 to 2^63 - 1'
    })
  })

/**
 * Asks for a move, and tells whether the partition was owned until it was done.
 */
const move = (
  member: Member,
  handOut: HandOut,
  at: TopicPartition,
  to: Move["to"]
): Effect.Effect<boolean, KafkaError> =>
  Effect.suspend(() => {
    const lane = member.lanes.get(toKey(at))
    if (lane === undefined) return Effect.succeed(false)
    const answer = Deferred.makeUnsafe<void, KafkaError>()
    return whileOwned(
      lane,
      Effect.flatMap(handOf(handOut, lane), ({ moves }) =>
        Effect.andThen(Queue.offer(moves, { to, answer }), Deferred.await(answer)))
    )
  })

/**
 * The hand of a lane: it is there when what has ended of an earlier ownership is out of the way.
 */
const handOf = (handOut: HandOut, lane: Lane): Effect.Effect<Hand> =>
  Effect.suspend(() => {
    const hand = handOut.hands.get(lane.key)
    return hand !== undefined && hand.lane === lane
      ? Effect.succeed(hand)
      : Effect.andThen(Deferred.await(handOut.fed), handOf(handOut, lane))
  })
