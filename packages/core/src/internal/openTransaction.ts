import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { nameOf } from "../ErrorCode.ts"
import type { GroupOffsets } from "../GroupOffsets.ts"
import type { DriverError, ProducerIdentity } from "../KafkaDriver.ts"
import {
  KafkaError,
  NestedTransaction,
  type Reason,
  TimedOut,
  TransactionAbortable,
  TransactionEnded,
  TransactionTainted,
  TransactionTimedOut,
  UnsupportedByDriver
} from "../KafkaError.ts"
import type { Ledger } from "../Settlement.ts"
import { toKey } from "../TopicPartition.ts"
import type { TransactionOutcome } from "../TransactionOutcome.ts"
import type { Event } from "../TransactionState.ts"
import type { Attempt } from "./attempt.ts"
import { reasonOf, verdictOf } from "./classify.ts"
import type { CommitGuard } from "./commitGuard.ts"
import { isCursors, problemOf } from "./groupOffsets.ts"
import * as MergedOffsets from "./mergedOffsets.ts"
import { fence, type LiveSession, type ProducerCore, transition, unusable } from "./producerCore.ts"
import * as ProducerLanes from "./producerLanes.ts"
import { type Exhausted, monotonicMillisOf } from "./repeat.ts"
import * as SendQueue from "./sendQueue.ts"

/**
 * One transaction, from its begin to its settlement.
 */
export interface OpenTransaction {
  readonly core: ProducerCore
  readonly live: LiveSession
  /** Who acts in it; the session may have had another identity when it was opened. */
  readonly identity: ProducerIdentity
  readonly clock: Clock.Clock
  readonly scope: Scope.Scope | null
  readonly span: Tracer.Span
  readonly queue: SendQueue.SendQueue
  readonly offsets: MergedOffsets.MergedOffsets
  readonly outcome: Deferred.Deferred<TransactionOutcome>
  readonly commitWhen: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
  readonly releasePermit: Effect.Effect<void>
  readonly attempt: Attempt | null
  readonly guard: CommitGuard | null
  /** How many transactions its producer had begun with this one. */
  readonly ordinal: number
  readonly beganAtMillis: number
  /** The first acknowledged offset of each partition, by which an unknown outcome is resolved. */
  readonly acknowledged: Map<string, { topic: string; partition: number; offset: bigint }>
  /** What stands for it in a program's context, by which a nested begin is told. */
  service: object | null
  acknowledgedRecords: number
  acknowledgedBytes: number
  /** When a request that registers was first answered; the broker's own clock started before. */
  registeredAtMillis: number | null
  /** Whether anything was asked of the broker. */
  asked: boolean
  /** Whether the session was told of the transaction; it is told before its first request. */
  told: boolean
  /** The body has ended: nothing more can be asked for. */
  ended: boolean
  /** What becomes of it is decided; what is interrupted from now on changes nothing. */
  decided: boolean
  /** Sends from their call to their answer; `quiet` is open while there are none. */
  sendsUnderWay: number
  /** The last send whose records could not be queued at once: those after it wait for it. */
  placing: Deferred.Deferred<void> | null
  readonly quiet: Latch.Latch
  firstFailure: KafkaError | null
  interruptedSend: boolean
  /** Not everything had settled when the drain's time was over. */
  unsettled: boolean
  /** The program was interrupted after the body and before the commit point. */
  interruptedBeforeCommit: boolean
  /** EndTxn(commit) was, or may have been, sent. */
  committing: boolean
  /** The broker has ended it by its timeout: its epoch is gone, and no abort is needed. */
  endedByBroker: boolean
}

/**
 * Makes the record of a transaction that has just been begun.
 */
export const make = (options: {
  readonly core: ProducerCore
  readonly live: LiveSession
  readonly clock: Clock.Clock
  readonly scope: Scope.Scope | null
  readonly span: Tracer.Span
  readonly commitWhen: ((exit: Exit.Exit<unknown, unknown>) => boolean) | undefined
  readonly releasePermit: Effect.Effect<void>
  readonly attempt: Attempt | null
  readonly guard: CommitGuard | null
}): OpenTransaction => {
  const { core, live, clock } = options
  const transaction: OpenTransaction = {
    ...options,
    identity: live.session.identity?.() ?? live.identity,
    queue: SendQueue.make(live.session, core.settings, {
      prepare: Effect.suspend(() => tellSession(transaction)),
      appended: (batch, appended) => {
        // The broker has it from an attempt of which the client does not know, so that the client's
        // sequences may be behind: they are good for nothing more than this transaction's end.
        if (appended.baseOffset < 0n) note(transaction, "Unanswered")
        transaction.registeredAtMillis ??= monotonicMillisOf(clock)
        transaction.acknowledgedRecords += batch.records.length
        transaction.acknowledgedBytes += batch.bytes
        const key = toKey(batch)
        const known = transaction.acknowledged.get(key)
        if (known === undefined || known.offset < 0n) {
          const { topic, partition } = batch
          transaction.acknowledged.set(key, { topic, partition, offset: appended.baseOffset })
        }
      },
      failed: (batch, error) => recordBatchFailure(transaction, batch, error),
      unanswered: () => note(transaction, "Unanswered")
    }),
    offsets: MergedOffsets.make(),
    outcome: Deferred.makeUnsafe(),
    ordinal: ++core.transactions,
    beganAtMillis: monotonicMillisOf(clock),
    acknowledged: new Map(),
    service: null,
    acknowledgedRecords: 0,
    acknowledgedBytes: 0,
    registeredAtMillis: null,
    asked: false,
    told: false,
    ended: false,
    decided: false,
    sendsUnderWay: 0,
    placing: null,
    quiet: Latch.makeUnsafe(true),
    firstFailure: null,
    interruptedSend: false,
    unsettled: false,
    interruptedBeforeCommit: false,
    committing: false,
    endedByBroker: false
  }
  return transaction
}

/**
 * Tells the producer's state of something that happened to its transaction. What comes after the
 * transaction has ended is not told: the state is another transaction's by then.
 */
export const note = (transaction: OpenTransaction, event: Event): void => {
  if (transaction.core.current === transaction) transition(transaction.core, event)
}

/**
 * Tells the session of the transaction, before the first request of it. Only the fiber that sends
 * calls it, so that no request can come before its answer.
 */
export const tellSession = (transaction: OpenTransaction): Effect.Effect<void, DriverError> =>
  // A request that is repeated asks again each time.
  Effect.suspend(() =>
    transaction.told ?
      Effect.void :
      Effect.tap(transaction.live.session.begin, () =>
        Effect.sync(() => {
          transaction.told = true
        }))
  )

/**
 * Adds a consumer group's offsets; they are sent once, when the transaction commits.
 */
export const sendOffsets = (
  transaction: OpenTransaction,
  offsets: GroupOffsets
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const refused = refusal(transaction, "sendOffsets", transaction.ended)
    if (refused !== null) return yield* Effect.fail(refused)
    const { driver, lanes } = transaction.core
    const problem = ProducerLanes.problemOfOffsets(lanes)
    if (problem !== null) return yield* taint(transaction, "sendOffsets", problem)
    const unfit = problemOf(offsets)
    if (unfit !== null) return yield* taint(transaction, "sendOffsets", unfit)
    const isFenced = driver.capabilities.groupFencing || transaction.guard?.fences === true ||
      isCursors(offsets)
    if (!isFenced) {
      return yield* taint(
        transaction,
        "sendOffsets",
        new UnsupportedByDriver({ driver: driver.name, capability: "groupFencing (KIP-447)" })
      )
    }
    transaction.asked = true
    const conflict = MergedOffsets.add(transaction.offsets, offsets)
    if (conflict !== null) return yield* taint(transaction, "sendOffsets", conflict)
  })

/**
 * Why the transaction takes nothing more, or `null`.
 */
export const refusal = (
  transaction: OpenTransaction,
  operation: KafkaError["operation"],
  ended: boolean
): KafkaError | null => {
  const { core, firstFailure } = transaction
  if (ended) {
    const { transactionalId } = core.settings
    return new KafkaError({ operation, reason: new TransactionEnded({ transactionalId }) })
  }
  const dead = unusable(core, operation)
  if (dead !== null) {
    // The body may catch it and go on; what it asked for was not done all the same (I2).
    noteFailure(transaction, dead)
    return dead
  }
  if (firstFailure !== null) return new KafkaError({ operation, reason: firstFailure.reason })
  return expiry(transaction, operation)
}

/**
 * The error of a transaction whose body takes longer than it may, or `null`.
 */
const expiry = (
  transaction: OpenTransaction,
  operation: KafkaError["operation"]
): KafkaError | null => {
  const elapsed = monotonicMillisOf(transaction.clock) - transaction.beganAtMillis
  const limit = Duration.toMillis(transaction.core.settings.bodyTimeout)
  return elapsed < limit ? null : expired(transaction, operation)
}

/**
 * The error of a transaction whose body has taken longer than it may.
 */
export const expired = (
  transaction: OpenTransaction,
  operation: KafkaError["operation"]
): KafkaError => {
  const { bodyTimeout, transactionalId } = transaction.core.settings
  const limitMillis = Duration.toMillis(bodyTimeout)
  return new KafkaError({
    operation,
    reason: new TransactionTimedOut({ transactionalId, limitMillis })
  })
}

/**
 * Fails, and notes that the transaction cannot commit any more (I2).
 */
export const taint = (
  transaction: OpenTransaction,
  operation: KafkaError["operation"],
  reason: Reason
): Effect.Effect<never, KafkaError> =>
  Effect.suspend(() => {
    const error = new KafkaError({ operation, reason })
    noteFailure(transaction, error)
    return Effect.fail(error)
  })

/**
 * Notes the failure of something that the program asked for.
 */
export const noteFailure = (transaction: OpenTransaction, error: KafkaError): void => {
  transaction.firstFailure ??= error
  transaction.guard?.failed(error)
  if (!transaction.decided) note(transaction, "SendFailed")
}

const recordBatchFailure = (
  transaction: OpenTransaction,
  batch: SendQueue.Batch,
  error: DriverError | Exhausted
): KafkaError => {
  const { topic, partition, records, bytes } = batch
  const about = { topics: [topic], partition, records: records.length, bytes }
  transaction.core.topics.forget(topic)
  const reason = recordFailure(transaction, error, about)
  const failure = new KafkaError({ operation: "send", reason })
  noteFailure(transaction, failure)
  return failure
}

/**
 * The reason of a failed request of the transaction; a fence is told from a timeout here.
 */
export const recordFailure = (
  transaction: OpenTransaction,
  error: DriverError | Exhausted,
  about: {
    readonly topics?: ReadonlyArray<string>
    readonly partition?: number
    readonly records?: number
    readonly bytes?: number
    readonly groupId?: string
  }
): Reason => {
  const { core, identity } = transaction
  const { transactionalId } = core.settings
  const { producerId, epoch } = identity
  const full = { ...about, transactionalId, producerId, epoch }
  if (error._tag === "Exhausted") {
    const { request, afterMillis, last, lastText } = error
    return last !== null && isTelling(last)
      ? reasonOf(last, full)
      : new TimedOut({ request, afterMillis, last: lastText })
  }
  const verdict = verdictOf(error)
  // A question about a topic has nothing to do with the session.
  if (verdict === "abort and replace" && error.request !== "Metadata") {
    note(transaction, "Unanswered")
  }
  if (verdict !== "restart") return reasonOf(error, full)
  if (hasTimedOutAtBroker(transaction)) {
    transaction.endedByBroker = true
    note(transaction, "Unanswered")
    const limitMillis = Duration.toMillis(core.settings.transactionTimeout)
    return new TransactionTimedOut({ transactionalId, limitMillis })
  }
  if (takeOwnFence(transaction)) {
    transaction.endedByBroker = true
    note(transaction, "Unanswered")
    return ownFence(error)
  }
  const reason = reasonOf(error, full)
  fence(core, new KafkaError({ operation: "begin", reason }))
  return reason
}

/**
 * Whether the last refusal tells more than a timeout: the topic does not exist, or the broker finds
 * the batch corrupt each time.
 */
const isTelling = (error: DriverError): boolean =>
  error.failure._tag === "Answered" && (error.failure.code === 3 || error.failure.code === 2)

/**
 * Whether at least the transaction timeout has passed since the first registration, so that the
 * broker has ended the transaction by itself; otherwise another instance has.
 */
export const hasTimedOutAtBroker = (transaction: OpenTransaction): boolean => {
  const { registeredAtMillis, clock, core } = transaction
  if (registeredAtMillis === null) return false
  const elapsed = monotonicMillisOf(clock) - registeredAtMillis
  return elapsed >= Duration.toMillis(core.settings.transactionTimeout)
}

/**
 * Whether a fence may be the producer's own: an InitProducerId that got no answer, was sent again
 * and has arrived after all. Then a new session is opened, once; a second fence is another
 * instance's.
 */
export const takeOwnFence = ({ core, clock }: OpenTransaction): boolean => {
  const { ownFence } = core
  core.ownFence = null
  if (ownFence === null || monotonicMillisOf(clock) >= ownFence.untilMillis) return false
  // One that took the id over has left nothing by which the broker could tell it from another's.
  core.takesOver = ownFence.takesOver
  return true
}

const ownFence = (error: DriverError): TransactionAbortable => {
  const code = error.failure._tag === "Answered" ? error.failure.code : -1
  return new TransactionAbortable({ request: error.request, code, name: nameOf(code) })
}

/**
 * What the settlement is decided from, besides the exit.
 */
export const ledgerOf = (transaction: OpenTransaction, interrupted: boolean): Ledger => {
  const { core, firstFailure, interruptedSend, unsettled } = transaction
  const { transactionalId } = core.settings
  const first = firstFailure?.reason.message ??
    (interruptedSend
      ? "a send was interrupted before the broker answered."
      : unsettled
      ? "a send had not settled when the body ended."
      : null)
  // A closed producer has no session any more, and its transaction was ended by a new one.
  const gone = core.state._tag === "Closed" || core.dead !== null ? unusable(core, "commit") : null
  return {
    taint: first === null ? null : new KafkaError({
      operation: "commit",
      reason: new TransactionTainted({
        transactionalId,
        first,
        retryable: firstFailure === null ? !interruptedSend : firstFailure.recovery === "retry"
      })
    }),
    fenced: gone,
    expired: expiry(transaction, "commit"),
    interrupted
  }
}

/**
 * The error of a begin where a transaction of the same producer is already open.
 */
export const nested = (core: ProducerCore): KafkaError => {
  const { transactionalId } = core.settings
  return new KafkaError({ operation: "begin", reason: new NestedTransaction({ transactionalId }) })
}

/**
 * The token that this attempt leaves beside its offsets. The producer id and epoch are not enough,
 * because on the old protocol several transactions share them; a count and not the time, because
 * two may begin at the same.
 */
export const tokenOf = ({ identity, ordinal }: OpenTransaction): string =>
  `kafka-once/${identity.producerId}/${identity.epoch}/${ordinal}`
