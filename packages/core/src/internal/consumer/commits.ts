import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { DriverError, Failure } from "../../DriverError.ts"
import type { GroupOffsets } from "../../GroupOffsets.ts"
import { BrokerRefused, ConsumerFenced, KafkaError, Unreachable } from "../../KafkaError.ts"
import { toKey } from "../../TopicPartition.ts"
import { problemOf } from "../groupOffsets.ts"
import { type Exhausted, untilDeadline } from "../repeat.ts"
import * as HandOut from "./handOut.ts"
import * as Lane from "./lane.ts"
import { isSilence, type Member, reasonIn } from "./member.ts"

/**
 * Commits offsets outside of a transaction. They are refused where a partition has had another
 * owner since they were fetched.
 */
export const commit = (
  member: Member,
  handOut: HandOut.HandOut,
  processed: GroupOffsets
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    const { groupId, membership, offsets } = processed
    const problem = problemOf(processed)
    if (problem !== null) {
      return Effect.fail(new KafkaError({ operation: "commitOffsets", reason: problem }))
    }
    const lanes = offsets.flatMap((at) => member.lanes.get(toKey(at)) ?? [])
    const first = lanes[0]
    if (first === undefined) {
      return offsets.length === 0 ? Effect.void : Effect.fail(fenced(groupId))
    }
    if (lanes.length < offsets.length || !lanes.every((lane) => Lane.covers(lane, membership))) {
      return Effect.fail(fenced(groupId))
    }
    const positions = offsets.map(({ lastProcessed, partition, topic }) => ({
      topic,
      partition,
      offset: lastProcessed + 1n
    }))
    return untilDeadline({
      request: "OffsetCommit",
      limit: Duration.times(member.settings.requestTimeout, 3),
      // Repeated under the membership of then, which a rebalance may have renewed, but not for what
      // it has taken away.
      attempt: Effect.suspend(() =>
        lanes.every((lane) => Lane.covers(lane, membership))
          ? first.session.commit(first.membership, positions)
          : Effect.fail(notCovered)
      ),
      onUnanswered: () => {}
    }).pipe(
      Effect.mapError((error) =>
        error._tag === "Exhausted" ? exhausted(error) : new KafkaError({
          operation: "commitOffsets",
          reason: reasonIn(member, error)
        })
      ),
      Effect.andThen(settled(handOut, processed))
    )
  })

const illegalGeneration = 22

const fenced = (groupId: string): KafkaError =>
  new KafkaError({
    operation: "commitOffsets",
    reason: new ConsumerFenced({ groupId, code: illegalGeneration, name: "ILLEGAL_GENERATION" })
  })

const notCovered = new DriverError({
  request: "OffsetCommit",
  failure: Failure.Answered({ code: illegalGeneration }),
  detail: "A partition was taken away meanwhile"
})

const exhausted = ({ afterMillis, last, lastText }: Exhausted): KafkaError =>
  new KafkaError({
    operation: "commitOffsets",
    reason: last === null || isSilence(last)
      ? new Unreachable({ sinceMillis: afterMillis, last: lastText })
      : new BrokerRefused({ request: "OffsetCommit", code: -1, name: lastText })
  })

/**
 * Notes that offsets were committed.
 */
export const settled = (
  handOut: HandOut.HandOut,
  { membership, offsets }: GroupOffsets
): Effect.Effect<void> =>
  Effect.forEach(offsets, (at) => {
    const hand = handOut.hands.get(toKey(at))
    return hand === undefined || !Lane.covers(hand.lane, membership)
      ? Effect.void
      : HandOut.settled(hand, at.lastProcessed + 1n)
  }, { discard: true })
