import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { DriverError, Failure } from "../KafkaDriver.ts"
import {
  CommitOutcomeUnknown,
  CommitRefused,
  KafkaError,
  type Reason,
  TransactionTainted
} from "../KafkaError.ts"
import { ProducerEvent } from "../ProducerEvent.ts"
import type { Decision } from "../Settlement.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"
import { State } from "../TransactionState.ts"
import { describe, isUnanswered, reasonOf, verdictOf } from "./classify.ts"
import { publishFence, reopen, retire } from "./liveSession.ts"
import * as MergedOffsets from "./mergedOffsets.ts"
import {
  hasTimedOutAtBroker,
  note,
  type OpenTransaction,
  recordFailure,
  takeOwnFence,
  tokenOf
} from "./openTransaction.ts"
import * as OutcomeResolver from "./outcomeResolver.ts"
import { fence, type ProducerCore, publish, transition } from "./producerCore.ts"
import { type Exhausted, monotonicMillisOf, untilDeadline } from "./repeat.ts"
import { noteErrorType, withStepSpan } from "./telemetry.ts"

/**
 * How a transaction ended, with the typed failure to add where the body's exit is a success.
 */
export interface Ended {
  readonly outcome: TransactionOutcome
  readonly failure: KafkaError | null
}

const aborted = (failure: KafkaError | null): Ended => ({
  outcome: TransactionOutcome.Aborted(),
  failure
})

const commitFailure = (reason: Reason): KafkaError =>
  new KafkaError({ operation: "commit", reason })

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
 * The failure that a release tells: where the session could not be replaced because another
 * instance has taken over, that says more than what the transaction itself came upon.
 */
const orFence = <A extends KafkaError | null>({ dead }: ProducerCore, failure: A) =>
  failure === null || dead === null ? failure : commitFailure(dead.reason)

/**
 * A commit without an answer: retire the session, fence it by a new one, then read what cannot
 * change any more.
 *
 * Where a repetition of the commit was answered with a fence, or the broker says so when it is
 * asked, another instance has opened that new session already, and has decided the transaction with
 * it. A session of ours would only fence it.
 */
const resolveUnknown = (
  transaction: OpenTransaction,
  error: DriverError | Exhausted
): Effect.Effect<Ended> =>
  Effect.gen(function*() {
    const { core, clock } = transaction
    const { requestTimeout, resolveTimeout } = core.settings
    const deadline = monotonicMillisOf(clock) + Duration.toMillis(resolveTimeout)
    const left = () => Duration.millis(Math.max(1, deadline - monotonicMillisOf(clock)))
    const reason = unknownReason(transaction)
    const fencedBy = fenceIn(transaction, error)
    transition(core, "CommitUnanswered")
    yield* retire(core, "the commit had no answer")
    transition(core, "Resolved")
    const opened = fencedBy === null && (yield* reopenToResolve(transaction, left()))
    const takenOver = fencedBy ?? core.dead?.reason ?? null
    const fenced = opened || takenOver !== null
    const outcome = fenced
      ? yield* OutcomeResolver.resolve({
        driver: core.driver,
        reason,
        limit: left(),
        requestTimeout,
        fenced,
        atOnce: true
      })
      : TransactionOutcome.Unknown({ reason })
    if (fencedBy !== null) {
      fence(core, new KafkaError({ operation: "begin", reason: fencedBy }))
      yield* publishFence(core)
    }
    switch (outcome._tag) {
      case "Committed":
        return { outcome, failure: null }
      case "Aborted": {
        const { transactionalId } = core.settings
        const refused = new CommitRefused({ transactionalId, last: "the log says aborted" })
        return aborted(commitFailure(takenOver ?? refused))
      }
      case "Unknown":
        return { outcome, failure: commitFailure(reason) }
    }
  })

/**
 * The reason of a repeated commit that another instance's fence has answered, or `null`.
 */
const fenceIn = (transaction: OpenTransaction, error: DriverError | Exhausted): Reason | null => {
  const isFence = error._tag === "DriverError" && verdictOf(error) === "restart"
  if (!isFence || hasTimedOutAtBroker(transaction) || takeOwnFence(transaction)) return null
  const { producerId, epoch } = transaction.identity
  const { transactionalId } = transaction.core.settings
  return reasonOf(error, { transactionalId, producerId, epoch })
}

const reopenToResolve = (
  transaction: OpenTransaction,
  limit: Duration.Duration
): Effect.Effect<boolean> =>
  Effect.matchEffect(reopen(transaction.core, "resolve", limit), {
    onSuccess: () => Effect.succeed(true),
    onFailure: () =>
      transaction.core.dead === null
        ? Effect.as(tellLeftOpen(transaction), false)
        : Effect.succeed(false)
  })

const unknownReason = (transaction: OpenTransaction): CommitOutcomeUnknown => {
  const { core, identity, acknowledged, offsets } = transaction
  const token = tokenOf(transaction)
  return new CommitOutcomeUnknown({
    transactionalId: core.settings.transactionalId,
    producerId: identity.producerId,
    epoch: identity.epoch,
    acknowledged: [...acknowledged.values()],
    offsets: MergedOffsets.toCommits(offsets, token).flatMap(({ groupId, positions }) =>
      positions.map((position) => ({ groupId, token, ...position }))
    )
  })
}

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

export const replaceIfRetired = (transaction: OpenTransaction, why: string): Effect.Effect<void> =>
  transaction.core.state._tag === "Retired"
    ? replace(transaction, why, { leftOpen: false })
    : Effect.void

/**
 * Closes the session and opens the next one on the same id, before the release returns (I3). A dead
 * or closed producer gets no new one: it is no longer the owner of its id.
 */
const replace = (
  transaction: OpenTransaction,
  why: string,
  options: { readonly leftOpen: boolean }
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { core } = transaction
    yield* retire(core, why)
    if (core.dead !== null) return yield* publishFence(core)
    if (core.state._tag === "Closed") return
    const opened = yield* Effect.exit(reopen(core, "begin", core.settings.resolveTimeout))
    if (Exit.isSuccess(opened) || core.dead !== null || !options.leftOpen) return
    yield* tellLeftOpen(transaction)
  })

const tellLeftOpen = (transaction: OpenTransaction): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { core } = transaction
    const { transactionalId, transactionTimeout } = core.settings
    const now = yield* Clock.currentTimeMillis
    const untilMillis = now + Duration.toMillis(transactionTimeout)
    yield* Effect.logWarning(
      "kafka-once: no new session could be opened; the broker ends the transaction by its timeout",
      { transactionalId, untilMillis }
    )
    yield* publish(core, ProducerEvent.TransactionLeftOpen({ transactionalId, untilMillis }))
  })

/**
 * The end of a transaction whose settling died: its session is not used again. Where the commit was
 * not asked for yet, it never will be.
 */
export const unproven = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    const { core, committing } = transaction
    const { transactionalId } = core.settings
    if (core.state._tag !== "Closed" && core.dead === null) core.state = State.Retired()
    const unknown = unknownReason(transaction)
    const refused = new CommitRefused({ transactionalId, last: "the library failed" })
    return Effect.as(
      retire(core, "settling died"),
      committing
        ? {
          outcome: TransactionOutcome.Unknown({ reason: unknown }),
          failure: commitFailure(unknown)
        }
        : aborted(Exit.isSuccess(exit) ? commitFailure(refused) : null)
    )
  })
