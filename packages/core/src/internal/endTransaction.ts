import * as Effect from "effect/Effect"
import { DriverError, Failure } from "../KafkaDriver.ts"
import { CommitRefused, KafkaError, type Reason, TransactionTainted } from "../KafkaError.ts"
import { ProducerEvent } from "../ProducerEvent.ts"
import type { Decision } from "../Settlement.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"
import { describe, isUnanswered, reasonOf, verdictOf } from "./classify.ts"
import { aborted, commitFailure, type Ended, orFence } from "./ended.ts"
import {
  hasTimedOutAtBroker,
  note,
  type OpenTransaction,
  recordFailure,
  takeOwnFence
} from "./openTransaction.ts"
import { fence, publish, transition } from "./producerCore.ts"
import { type Exhausted, untilDeadline } from "./repeat.ts"
import { replace, replaceIfRetired } from "./replaceSession.ts"
import { noteErrorType, withStepSpan } from "./telemetry.ts"
import { resolveUnknown } from "./unknownCommit.ts"

/**
 * Commits: EndTxn, once, or repeated with the same session where the driver can. From here on
 * nothing interrupts.
 */
export const commit = (transaction: OpenTransaction): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    transition(transaction.core, "Drained")
    transaction.committing = true
    return Effect.matchEffect(endWithCommit(transaction), {
      onSuccess: () => endCommitted(transaction),
      onFailure: ({ error, ambiguous }) => {
        const refused = ambiguous ? null : refusal(transaction, error)
        return Effect.tap(
          refused === null
            ? resolveUnknown(transaction, error)
            : endRefused(transaction, refused),
          ({ failure }) => failure === null ? Effect.void : noteErrorType(failure)
        )
      }
    })
  }).pipe(
    withStepSpan("commit", transaction.core.settings.transactionalId, transaction.span)
  )

const endCommitted = (transaction: OpenTransaction): Effect.Effect<Ended> => {
  transition(transaction.core, "Ended")
  return Effect.as(
    replaceIfRetired(transaction, "a request of the transaction had no answer"),
    { outcome: TransactionOutcome.Committed({ proof: "answer" }), failure: null }
  )
}

interface CommitFailed {
  readonly error: DriverError | Exhausted
  /** An attempt was, or may have been, acted on without an answer. */
  readonly ambiguous: boolean
}

const endWithCommit = (transaction: OpenTransaction): Effect.Effect<void, CommitFailed> =>
  Effect.suspend(() => {
    const { core, live } = transaction
    const { commitRetry } = core.driver.capabilities
    let ambiguous = false
    return untilDeadline({
      request: "EndTxn",
      limit: core.settings.commitTimeout,
      attempt: live.session.end("commit"),
      onUnanswered: (error) => {
        // A look-up of the coordinator that fails comes before EndTxn, which is then never sent.
        ambiguous = ambiguous || error === null || error.request === "EndTxn"
        note(transaction, "Unanswered")
      },
      // Only the same commit may follow an ambiguous one (I8).
      mayRepeat: (error) => {
        const unclear = error.request === "EndTxn" && isUnclear(error)
        ambiguous = ambiguous || unclear
        return commitRetry && (unclear || isDefinitelyNotDone(error))
      }
    }).pipe(
      Effect.mapError((error) => ({ error, ambiguous }))
    )
  })

// Answers after which the coordinator's log may still hold the decision: what it appends can time
// out, or lose its leader, and be found by the next coordinator.
const unclearCodes: ReadonlySet<number> = new Set([-1, 7, 13, 15, 16, 19, 20, 56])

const isUnclear = (error: DriverError): boolean =>
  isUnanswered(error) ||
  (error.failure._tag === "Answered" && unclearCodes.has(error.failure.code))

const isDefinitelyNotDone = (error: DriverError): boolean =>
  error.request !== "EndTxn" || error.failure._tag === "NotSent" || verdictOf(error) === "retry"

/**
 * The reason of a commit that certainly was not done, or `null` where that is not certain.
 */
const refusal = (
  transaction: OpenTransaction,
  error: DriverError | Exhausted
): Reason | null => {
  const { core } = transaction
  const { transactionalId } = core.settings
  if (error._tag === "Exhausted") {
    return error.last === null || !isDefinitelyNotDone(error.last)
      ? null
      : new CommitRefused({ transactionalId, last: error.lastText })
  }
  const verdict = verdictOf(error)
  if (verdict === "restart" || verdict === "reconfigure") {
    return recordFailure(transaction, error, {})
  }
  return isDefinitelyNotDone(error)
    ? new CommitRefused({ transactionalId, last: describe(error) })
    : null
}

const endRefused = (transaction: OpenTransaction, reason: Reason): Effect.Effect<Ended> =>
  Effect.gen(function*() {
    const { core } = transaction
    if (core.dead === null) transition(core, "CommitRefused")
    yield* replace(transaction, `the commit was refused: ${reason._tag}`, { leftOpen: true })
    return aborted(orFence(core, commitFailure(reason)))
  })

/**
 * Aborts. Whatever the answer, the caller's result stays the body's: an abort that was not clean
 * retires the session, and the next one ends the transaction.
 */
export const abort = (
  transaction: OpenTransaction,
  failure: KafkaError | null
): Effect.Effect<Ended> =>
  Effect.gen(function*() {
    const { core } = transaction
    transition(core, "Drained")
    const attempt = yield* Effect.result(endWithAbort(transaction))
    if (attempt._tag === "Success") {
      transition(core, "Ended")
      yield* replaceIfRetired(transaction, "a request of the transaction had no answer")
      return aborted(orFence(core, failure))
    }
    const error = attempt.failure
    if (error._tag === "DriverError" && verdictOf(error) === "restart") {
      noteFenceOfAbort(transaction, error)
    }
    yield* tellAbortFailed(transaction, error)
    if (core.dead === null) transition(core, "AbortFailed")
    yield* replace(transaction, "the abort had no clean answer", { leftOpen: true })
    return aborted(orFence(core, failure))
  }).pipe(
    withStepSpan("abort", transaction.core.settings.transactionalId, transaction.span)
  )

const endWithAbort = (transaction: OpenTransaction) => {
  const { core, live, endedByBroker } = transaction
  const { commitRetry } = core.driver.capabilities
  return endedByBroker
    // Its epoch is gone: a new session is all that is needed.
    ? Effect.fail(
      new DriverError({
        request: "EndTxn",
        failure: Failure.Refused(),
        detail: "the broker has already ended the transaction by its timeout"
      })
    )
    : untilDeadline({
      request: "EndTxn",
      limit: core.settings.abortTimeout,
      attempt: live.session.end("abort"),
      onUnanswered: () => note(transaction, "Unanswered"),
      mayRepeat: (error) => commitRetry && (isUnclear(error) || isDefinitelyNotDone(error))
    })
}

const noteFenceOfAbort = (transaction: OpenTransaction, error: DriverError): void => {
  if (hasTimedOutAtBroker(transaction) || takeOwnFence(transaction)) return
  const { core, identity } = transaction
  const { producerId, epoch } = identity
  const { transactionalId } = core.settings
  const reason = reasonOf(error, { transactionalId, producerId, epoch })
  fence(core, new KafkaError({ operation: "begin", reason }))
}

const tellAbortFailed = (
  transaction: OpenTransaction,
  error: DriverError | Exhausted
): Effect.Effect<void> => {
  if (transaction.endedByBroker) return Effect.void
  const { core } = transaction
  const { transactionalId } = core.settings
  const last = error._tag === "Exhausted" ? error.lastText : describe(error)
  const reason = error._tag === "Exhausted"
    ? new CommitRefused({ transactionalId, last })
    : reasonOf(error, { transactionalId })
  const failure = new KafkaError({ operation: "abort", reason })
  return Effect.logWarning("kafka-once: an abort had no clean answer; the session is replaced", {
    transactionalId,
    last
  }).pipe(
    Effect.andThen(noteErrorType(failure)),
    Effect.andThen(publish(core, ProducerEvent.AbortFailed({ transactionalId, error: failure })))
  )
}

/**
 * Sends nothing more: the session is fenced.
 */
export const leave = (
  transaction: OpenTransaction,
  failure: KafkaError | null
): Effect.Effect<Ended> =>
  Effect.as(
    replace(transaction, "the session was fenced", { leftOpen: false }),
    aborted(failure)
  )

/**
 * Something was still on its way when the drain's time was over: without its answer neither a
 * commit nor an abort on this session would be safe, so the fence ends the transaction.
 */
export const leaveUndrained = (
  transaction: OpenTransaction,
  decision: Decision
): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    const { core } = transaction
    const { transactionalId } = core.settings
    if (core.dead === null) transition(core, "DrainExpired")
    const failure = decision._tag === "Commit"
      ? commitFailure(
        new TransactionTainted({
          transactionalId,
          first: "a send had not settled when the body ended.",
          retryable: true
        })
      )
      : decision.failure
    return Effect.map(
      replace(transaction, "a send had not settled", { leftOpen: true }),
      () => aborted(orFence(core, failure))
    )
  })
