import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import type * as Semaphore from "effect/Semaphore"
import type { KafkaDriver, ProducerIdentity, ProducerSession, Resumption } from "../KafkaDriver.ts"
import { KafkaError, ProducerClosed } from "../KafkaError.ts"
import type { ProducerEvent } from "../ProducerEvent.ts"
import type { Settings } from "../ProducerOptions.ts"
import * as TransactionState from "../TransactionState.ts"
import type { Reachability } from "./reachability.ts"
import type { SendQueue } from "./sendQueue.ts"
import type { ProducerMetrics } from "./telemetry.ts"
import type { Topics } from "./topics.ts"

/**
 * A session with its identity and the scope that holds its sockets.
 */
export interface LiveSession {
  readonly session: ProducerSession
  readonly identity: ProducerIdentity
  readonly scope: Scope.Closeable
}

/**
 * What a producer itself looks at in its open transaction.
 */
export interface CurrentTransaction {
  readonly scope: Scope.Scope | null
  readonly ended: boolean
  readonly service: object | null
  readonly queue: Pick<SendQueue, "discard" | "stop">
}

/**
 * What the lanes of a producer share: the permit for its one open transaction, who waits for it,
 * and whose turn is next. Most producers have one lane.
 */
export interface Lanes {
  /** In the order in which their transactional ids are taken over. */
  readonly all: readonly [ProducerCore, ...Array<ProducerCore>]
  readonly permit: Semaphore.Semaphore
  waiting: number
  /** The lane of the next transaction. */
  turn: number
}

/**
 * Everything of one transactional id of a producer. Fields that change are changed only between two
 * asynchronous steps, by the fiber that holds the producer's one permit, except `closing`.
 */
export interface ProducerCore {
  /** The producer's settings, with the transactional id of this lane. */
  readonly settings: Settings
  readonly lanes: Lanes
  readonly driver: KafkaDriver["Service"]
  readonly events: PubSub.PubSub<ProducerEvent>
  readonly metrics: ProducerMetrics
  readonly reachability: Reachability
  readonly topics: Topics
  readonly chooseSticky: (topic: string, count: number, bytes: number) => number
  state: TransactionState.State
  live: LiveSession | null
  current: CurrentTransaction | null
  /** How many have been begun. */
  transactions: number
  dead: KafkaError | null
  closing: boolean
  /** What the last session has left to the one that replaces it. */
  resumption: Resumption | null
  ownFence: OwnFence | null
  /** Whether the next session takes the transactional id without asking. */
  takesOver: boolean
}

/**
 * An InitProducerId of the producer's own that got no answer, and may arrive late.
 */
export interface OwnFence {
  readonly untilMillis: number
  /** Whether it takes the transactional id from whoever has it, the producer itself included. */
  readonly takesOver: boolean
}

/**
 * Moves the producer's state. An event that its state does not know is a bug of the library, and
 * the only reason for which it may die.
 */
export const transition = (core: ProducerCore, event: TransactionState.Event): void => {
  const next = TransactionState.step(core.state, event)
  if (next === null) {
    throw new Error(
      `kafka-once: the event ${event} cannot happen in the state ${core.state._tag}; please report`
    )
  }
  core.state = next
}

/**
 * Marks the producer dead, with all of its lanes: another instance owns the transactional id.
 */
export const fence = (core: ProducerCore, error: KafkaError): void => {
  for (const lane of core.lanes.all) {
    lane.dead ??= error
    transition(lane, "Fenced")
  }
}

/**
 * Publishes an event; a subscriber that lags loses the oldest ones.
 */
export const publish = (core: ProducerCore, event: ProducerEvent): Effect.Effect<void> =>
  Effect.sync(() => publishUnsafe(core, event))

/**
 * Publishes an event at once; see {@link publish}.
 */
export const publishUnsafe = (core: ProducerCore, event: ProducerEvent): void => {
  PubSub.publishUnsafe(core.events, event)
}

/**
 * The error of a producer that cannot begin or send any more, or `null`.
 */
export const unusable = (
  core: ProducerCore,
  operation: KafkaError["operation"]
): KafkaError | null => {
  if (core.dead !== null) return new KafkaError({ operation, reason: core.dead.reason })
  if (core.closing || core.state._tag === "Closed") {
    const { transactionalId } = core.settings
    return new KafkaError({ operation, reason: new ProducerClosed({ transactionalId }) })
  }
  return null
}
