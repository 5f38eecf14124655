import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import type { FetchedBatch } from "../../ConsumerDriver.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Lane } from "./lane.ts"
import type { Member } from "./member.ts"
import { take, toCommitted, whileOwned } from "./positions.ts"

/**
 * What a consumer's program has of one lane.
 */
export interface Hand {
  readonly lane: Lane
  /** Counts the rewinds: what was fetched before one is not handed out after it. */
  round: number
  /** Where the last batch ends that the program has and has not committed; `null` without one. */
  outstanding: bigint | null
  /** Open while nothing is outstanding. */
  readonly settled: Latch.Latch
  /** Completed to ask for a rewind, and answered through the deferred that it completes with. */
  rewind: Deferred.Deferred<Deferred.Deferred<void, KafkaError>>
}

/**
 * A batch on its way to the program.
 */
export interface Entry {
  readonly hand: Hand
  readonly round: number
  readonly batch: FetchedBatch
}

/**
 * What a consumer's program has of all lanes, and what is on its way to it. One batch waits at a
 * time: fetching ahead is the driver's.
 */
export interface HandOut {
  readonly hands: Map<string, Hand>
  readonly queue: Queue.Queue<Entry, KafkaError>
}

/**
 * Makes an empty hand-out.
 */
export const make: Effect.Effect<HandOut> = Effect.map(
  Queue.bounded<Entry, KafkaError>(1),
  (queue) => ({ hands: new Map(), queue })
)

/**
 * Feeds the program from one lane, and keeps the lane from being let go until the program has
 * committed what it has of it.
 */
export const feed = (
  handOut: HandOut,
  member: Member,
  lane: Lane
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const hand: Hand = {
      lane,
      round: 0,
      outstanding: null,
      settled: Latch.makeUnsafe(true),
      rewind: Deferred.makeUnsafe()
    }
    handOut.hands.set(lane.key, hand)
    yield* whileOwned(lane, toCommitted(member, lane))
    while (lane.state === "owned") {
      const asked = yield* Effect.raceFirst(
        Effect.as(feedOn(handOut, member, hand), null),
        Deferred.await(hand.rewind)
      )
      if (asked !== null) yield* rewindNow(member, hand, asked)
    }
    yield* Latch.await(hand.settled)
  }).pipe(
    Effect.ensuring(Effect.sync(() => handOut.hands.delete(lane.key)))
  )

const feedOn = (
  { queue }: HandOut,
  member: Member,
  hand: Hand
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const { lane } = hand
    for (;;) {
      const batch = yield* take(member, lane)
      if (batch === null) return
      if (batch.records.length === 0) {
        if (hand.outstanding === null) yield* lane.session.settled(lane, batch.nextOffset)
        continue
      }
      const entry = { hand, round: hand.round, batch }
      if (!(yield* whileOwned(lane, Effect.asVoid(Queue.offer(queue, entry))))) return
    }
  })

const rewindNow = (
  member: Member,
  hand: Hand,
  answer: Deferred.Deferred<void, KafkaError>
): Effect.Effect<void> => {
  hand.rewind = Deferred.makeUnsafe()
  hand.round += 1
  hand.outstanding = null
  Latch.openUnsafe(hand.settled)
  return whileOwned(hand.lane, toCommitted(member, hand.lane)).pipe(
    Effect.asVoid,
    Effect.exit,
    Effect.flatMap((exit) => Deferred.done(answer, exit)),
    Effect.asVoid
  )
}

/**
 * Waits for the next batch that the program may have: one whose partition is still owned.
 */
export const next = (handOut: HandOut, member: Member): Effect.Effect<FetchedBatch, KafkaError> =>
  Effect.flatMap(Queue.take(handOut.queue), ({ batch, hand, round }) => {
    if (hand.lane.state !== "owned" || hand.round !== round) return next(handOut, member)
    hand.outstanding = batch.nextOffset
    Latch.closeUnsafe(hand.settled)
    return Effect.as(Metric.update(member.metrics.consumedRecords, batch.records.length), batch)
  })

/**
 * Notes that everything below an offset is committed.
 */
export const settled = (hand: Hand, offset: bigint): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (hand.outstanding !== null && hand.outstanding <= offset) {
      hand.outstanding = null
      Latch.openUnsafe(hand.settled)
    }
    return hand.lane.session.settled(hand.lane, offset)
  })

/**
 * Reads a lane from the group's committed position on.
 */
export const rewind = (hand: Hand): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    const answer = Deferred.makeUnsafe<void, KafkaError>()
    return Effect.andThen(Deferred.succeed(hand.rewind, answer), Deferred.await(answer))
  })
