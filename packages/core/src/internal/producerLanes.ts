import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Semaphore from "effect/Semaphore"
import { type KafkaError, Misconfigured } from "../KafkaError.ts"
import type { Settings } from "../ProducerOptions.ts"
import type { State } from "../TransactionState.ts"
import { reopen, retire } from "./liveSession.ts"
import type { Lanes, LiveSession, ProducerCore } from "./producerCore.ts"
import { monotonicMillisOf } from "./repeat.ts"

/**
 * The transactional ids of a producer's lanes. The first is the producer's own, so that a producer
 * with lanes and one without, or with another number of them, fence each other.
 */
export const idsOf = (
  transactionalId: string,
  lanes: number
): readonly [string, ...Array<string>] => [
  transactionalId,
  ...Array.from({ length: lanes - 1 }, (_, i) => `${transactionalId}-lane-${i + 1}`)
]

/**
 * Makes the lanes of a producer from one lane's settings each.
 */
export const make = (
  permit: Semaphore.Semaphore,
  settings: Settings,
  makeCore: (lanes: Lanes, settings: Settings) => ProducerCore
): Lanes => {
  const [first, ...others] = idsOf(settings.transactionalId, settings.lanes)
  const lanes: Lanes = {
    permit,
    waiting: 0,
    turn: 0,
    get all() {
      return all
    }
  }
  const makeLane = (transactionalId: string) => makeCore(lanes, { ...settings, transactionalId })
  const all: Lanes["all"] = [makeLane(first), ...others.map(makeLane)]
  return lanes
}

/**
 * The lane of the next transaction.
 */
export const inTurn = ({ all, turn }: Lanes): ProducerCore => all[turn] ?? all[0]

/**
 * The lane whose transaction is open, or `null`.
 */
export const openIn = ({ all }: Lanes): ProducerCore | null =>
  all.find((core) => core.current !== null) ?? null

/**
 * The state of the open transaction, or else of the first lane that could not begin one now.
 */
export const stateOf = (lanes: Lanes): State => {
  const core = openIn(lanes) ?? lanes.all.find(({ state }) => state._tag !== "Ready")
  return (core ?? lanes.all[0]).state
}

/**
 * Hands the turn on after a transaction, where the broker has accepted something of it or the lane
 * has a new session; otherwise the same lane has it again.
 *
 * Two instances that start in the same moment can each own a lane: A takes over the first, B the
 * first and the second, then A the second. A producer begins with its first lane and goes on to the
 * next, so that A is told before it commits in the second that it has lost the first. A lane that
 * was passed over would let both commit, side by side.
 */
export const passTurn = (
  { core, live, registeredAtMillis }: {
    readonly core: ProducerCore
    readonly live: LiveSession
    readonly registeredAtMillis: number | null
  }
): void => {
  const { lanes } = core
  if (registeredAtMillis === null && core.live === live) return
  lanes.turn = (lanes.turn + 1) % lanes.all.length
}

/**
 * Whether each lane has its session.
 */
export const areLive = ({ all }: Lanes): boolean => all.every(({ live }) => live !== null)

/**
 * Opens a session for each lane that has none, in order and within one limit.
 *
 * No transaction begins before that, in whatever lane: the lane without a session may have left one
 * open, and what comes after it would be decided before it is. The order makes a takeover whole:
 * who holds the last lane has fenced whoever had taken the first one before.
 */
export const reopenAll = (
  lanes: Lanes,
  operation: KafkaError["operation"]
): Effect.Effect<void, KafkaError> =>
  Clock.clockWith((clock) => {
    const limit = Duration.toMillis(lanes.all[0].settings.initializeTimeout)
    const startedAt = monotonicMillisOf(clock)
    return Effect.forEach(
      lanes.all,
      (core) =>
        core.live !== null ? Effect.void : Effect.suspend(() => {
          const left = Math.max(1, limit - (monotonicMillisOf(clock) - startedAt))
          return reopen(core, operation, Duration.millis(left))
        }),
      { discard: true }
    )
  })

/**
 * Closes the session of each lane that has one; see `retire`.
 */
export const retireAll = ({ all }: Lanes, why: string): Effect.Effect<void> =>
  Effect.forEach(all, (core) => retire(core, why), { concurrency: "unbounded", discard: true })

/**
 * Why a transaction of these lanes takes no offsets, or `null`. What makes a position safe is that
 * the session which moves it has ended all that could move it before; of the sessions of other
 * lanes it knows nothing.
 */
export const problemOfOffsets = ({ all }: Lanes): Misconfigured | null =>
  all.length === 1 ? null : new Misconfigured({
    setting: "lanes",
    value: String(all.length),
    problem: "must be 1 for a producer that sends offsets or moves a cursor"
  })
