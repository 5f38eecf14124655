import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import type { FetchedBatch, StartAt } from "../../ConsumerDriver.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Lane } from "./lane.ts"
import type { Member } from "./member.ts"
import { seekTo, take, toCommitted, whileOwned } from "./positions.ts"

/**
 * What a consumer's program has of one lane.
 */
export interface Hand {
  readonly lane: Lane
  /** Counts the moves: what was fetched before one is not handed out, nor committed, after it. */
  round: number
  /** Where the last batch ends that the program has and has not committed; `null` without one. */
  outstanding: bigint | null
  /** Open while nothing is outstanding. */
  readonly settled: Latch.Latch
  readonly moves: Queue.Queue<Move>
}

/**
 * From where to read instead: an offset, an end of the log, or what the group has committed. It is
 * answered when that is done, unless the lane is taken away before.
 */
export interface Move {
  readonly to: StartAt | "committed"
  readonly answer: Deferred.Deferred<void, KafkaError>
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
  /** Completed when a lane begins to be fed. */
  fed: Deferred.Deferred<void>
}

/**
 * Makes an empty hand-out.
 */
export const make: Effect.Effect<HandOut> = Effect.map(
  Queue.bounded<Entry, KafkaError>(1),
  (queue) => ({ hands: new Map(), queue, fed: Deferred.makeUnsafe() })
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
      moves: yield* Queue.unbounded<Move>()
    }
    handOut.hands.set(lane.key, hand)
    const waiting = handOut.fed
    handOut.fed = Deferred.makeUnsafe()
    yield* Deferred.succeed(waiting, undefined)
    yield* whileOwned(lane, toCommitted(member, lane))
    while (lane.state === "owned") {
      const move = yield* Effect.raceFirst(
        Effect.as(feedOn(handOut, member, hand), null),
        Queue.take(hand.moves)
      )
      if (move !== null) yield* moveNow(member, hand, move)
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

/**
 * Moves a lane. Where that fails the lane does too: what waited to be handed out is dropped by
 * then, and would be skipped.
 */
const moveNow = (
  member: Member,
  hand: Hand,
  { answer, to }: Move
): Effect.Effect<void, KafkaError> => {
  hand.round += 1
  hand.outstanding = null
  Latch.openUnsafe(hand.settled)
  const { lane } = hand
  const moved = to === "committed" ? toCommitted(member, lane) : seekTo(member, lane, to)
  return Effect.asVoid(
    whileOwned(
      lane,
      Effect.onExit(
        moved,
        (exit) => Exit.hasInterrupts(exit) ? Effect.void : Deferred.done(answer, exit)
      )
    )
  )
}

/**
 * Waits for the next batch that the program may have: one whose partition is still owned.
 */
export const next = (handOut: HandOut, member: Member): Effect.Effect<Entry, KafkaError> =>
  Effect.flatMap(Queue.take(handOut.queue), (entry) => {
    const { batch, hand, round } = entry
    if (hand.lane.state !== "owned" || hand.round !== round) return next(handOut, member)
    hand.outstanding = batch.nextOffset
    Latch.closeUnsafe(hand.settled)
    return Effect.as(Metric.update(member.metrics.consumedRecords, batch.records.length), entry)
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
