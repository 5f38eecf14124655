/**
 * What went over the wire through a fault proxy: one entry per request, in the order in which the
 * proxy saw them.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { FaultProxyError } from "./FaultProxyError.ts"
import type { ApiName } from "./FaultProxyRule.ts"

/**
 * What the broker answered.
 *
 * **Details**
 *
 * *Shape*
 * - `errorCode`: of the transaction APIs, FindCoordinator and Produce: the first code in the answer
 *   that is not 0, or 0. `null` for all others, whose answers are not read.
 * - `producerId`, `producerEpoch`: what InitProducerId and EndTxn of version 5 hand out.
 * - `delivered`: whether the client was given the answer.
 * - `synthetic`: the proxy answered in the broker's place, and the broker never saw the request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly timeMillis: number
  readonly errorCode: number | null
  readonly producerId: bigint | null
  readonly producerEpoch: number | null
  readonly delivered: boolean
  readonly synthetic: boolean
}

/**
 * One request on the wire.
 *
 * **Details**
 *
 * *Shape*
 * - `position`: counts from 0, and does not start again when old entries are left out.
 * - `api`: the name, or `api 123` for a key that Kafka 4.4 does not have.
 * - `transactionalId`, `producerId`, `producerEpoch`, `commit`: where the request has them.
 * - `rule`, `action`: what acted on the request or its answer; `null` where nothing did.
 * - `forwardedMillis`: when it was given to the broker's socket; `null` while it is held, and for
 *   ever when it was dropped.
 * - `answer`: `null` until the broker has answered.
 *
 * *Units and bounds*: milliseconds since 1970, by the wall clock, with fractions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly position: number
  readonly timeMillis: number
  readonly connection: number
  readonly clientId: string | null
  readonly api: string
  readonly version: number
  readonly correlationId: number
  readonly transactionalId: string | null
  readonly producerId: bigint | null
  readonly producerEpoch: number | null
  readonly commit: boolean | null
  readonly rule: string | null
  readonly action: string | null
  readonly forwardedMillis: number | null
  readonly answer: Answer | null
}

/**
 * Which entries are meant. Every field that is there must fit.
 *
 * **Details**
 *
 * *Shape*: `nth` counts the entries that fit the rest. `phase` says when an entry counts: when the
 * request is seen (`request`, the default), when it is given to the broker (`forwarded`), or when
 * the broker has answered (`response`).
 *
 * @category models
 * @since 0.1.0
 */
export interface EntryMatch {
  readonly api?: ApiName
  readonly version?: number
  readonly nth?: number
  readonly clientId?: string
  readonly transactionalId?: string
  readonly commit?: boolean
  readonly producerId?: bigint
  readonly producerEpoch?: number
  readonly phase?: "request" | "forwarded" | "response"
}

/**
 * The log of one proxy.
 *
 * **Gotchas**
 *
 * `awaitFrame` counts entries that are already there, so that a test cannot miss one. To wait for a
 * frame that is yet to come, read `position` first and pass it as `after`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WireLog {
  /** Copies of the entries, oldest first. */
  readonly entries: Effect.Effect<ReadonlyArray<Entry>>
  /** The position that the next entry gets. */
  readonly position: Effect.Effect<number>
  /** How many entries were left out at the front because the log is bounded. */
  readonly omitted: Effect.Effect<number>
  /** Completes with the entry when it is seen; fails `FrameNotSeen` after 30 seconds. */
  readonly awaitFrame: (
    match: EntryMatch,
    options?: { readonly after?: number; readonly timeout?: Duration.Input }
  ) => Effect.Effect<Entry, FaultProxyError>
}
