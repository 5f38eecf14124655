/**
 * What happens to a producer that nobody asked for, for logs, tests and dashboards.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { ProducerIdentity } from "./KafkaDriver.ts"
import type { KafkaError } from "./KafkaError.ts"
import type { TransactionOutcome } from "./TransactionOutcome.ts"

/**
 * What happens to a producer.
 *
 * **Details**
 *
 * *Shape*
 * - `SessionOpened`: a session has its producer id and epoch; transactions of older epochs are
 *   ended.
 * - `SessionRetired`: the session is closed and never used again; `why` says what was not clean.
 * - `TransactionSettled`: a transaction has ended, with its outcome, its number of acknowledged
 *   records and how long it was open. Also when the program that began it was interrupted.
 * - `AbortFailed`: the abort was not answered cleanly. The body's own error stays the result; the
 *   session is retired, and the next one ends the transaction.
 * - `TransactionLeftOpen`: no new session could be opened before the release returned. The broker
 *   ends the transaction by itself at most `untilMillis` (since 1970) later.
 * - `Unreachable` and `Reachable`: no broker answers; one does again.
 * - `Fenced`: another instance has taken over the transactional id; the producer is dead.
 *
 * @category models
 * @since 0.1.0
 */
export type ProducerEvent = Data.TaggedEnum<{
  SessionOpened: { readonly transactionalId: string; readonly identity: ProducerIdentity }
  SessionRetired: {
    readonly transactionalId: string
    readonly identity: ProducerIdentity
    readonly why: string
  }
  TransactionSettled: {
    readonly transactionalId: string
    readonly outcome: TransactionOutcome
    readonly records: number
    readonly durationMillis: number
  }
  AbortFailed: { readonly transactionalId: string; readonly error: KafkaError }
  TransactionLeftOpen: { readonly transactionalId: string; readonly untilMillis: number }
  Unreachable: { readonly transactionalId: string; readonly last: string }
  Reachable: { readonly transactionalId: string }
  Fenced: { readonly transactionalId: string; readonly error: KafkaError }
}>

/**
 * Constructors and matchers of {@link ProducerEvent}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ProducerEvent = Data.taggedEnum<ProducerEvent>()
