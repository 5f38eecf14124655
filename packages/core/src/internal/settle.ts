import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { KafkaError } from "../KafkaError.ts"
import { ProducerEvent } from "../ProducerEvent.ts"
import * as Settlement from "../Settlement.ts"
import type { Decision } from "../Settlement.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"
import type { State } from "../TransactionState.ts"
import * as Attempt from "./attempt.ts"
import { drain } from "./drain.ts"
import type { Ended } from "./ended.ts"
import { abort, commit, leave, leaveUndrained } from "./endTransaction.ts"
import { ledgerOf, type OpenTransaction } from "./openTransaction.ts"
import { publishUnsafe, transition } from "./producerCore.ts"
import * as ProducerLanes from "./producerLanes.ts"
import { monotonicMillisOf } from "./repeat.ts"
import { replaceIfRetired } from "./replaceSession.ts"
import { endSpan } from "./telemetry.ts"
import { unproven } from "./unknownCommit.ts"

/**
 * Settles a transaction by the exit of its body: the one function behind the scope form and the
 * bracket form.
 *
 * It fails only where the exit itself does not tell what happened: a body that succeeded, and a
 * transaction that did not commit or is not proven to have. It is bounded, it never dies, and when
 * it returns the transaction has ended or, where the cluster cannot be reached, nothing of it can
 * be accepted any more.
 */
export const settle = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    transaction.ended = true
    const { commitWhen } = transaction
    if (commitWhen === undefined) return settleBy(transaction, exit, Exit.isSuccess(exit))
    return Effect.matchCauseEffect(Effect.sync(() => commitWhen(exit)), {
      onSuccess: (chosen) => settleBy(transaction, exit, chosen),
      // The program's own defect stays the same one, but it does not hide a failure of the body.
      onFailure: (thrown) => {
        const settled = settleBy(transaction, exit, false)
        return Exit.isSuccess(exit) ? Effect.andThen(settled, Effect.failCause(thrown)) : settled
      }
    })
  })

/**
 * Settles a transaction of whose exit it is known whether it is one to commit.
 */
const settleBy = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>,
  mayCommit: boolean
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() =>
    isEmpty(transaction)
      ? settleEmpty(transaction, exit, mayCommit)
      : settleSent(transaction, exit, mayCommit)
  ).pipe(
    // Only a broken invariant of the library ends here. Whatever it was, the body's own failure
    // must not become a defect, and the permit must not be lost.
    Effect.catchDefect((defect) =>
      Effect.andThen(
        Effect.logError("kafka-once: settling a transaction died; please report", defect),
        unproven(transaction, exit)
      )
    ),
    Effect.flatMap((ended) => conclude(transaction, exit, ended))
  )

const isEmpty = (transaction: OpenTransaction): boolean =>
  !transaction.asked && transaction.sendsUnderWay === 0

/**
 * An empty transaction sends nothing.
 */
const settleEmpty = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>,
  mayCommit: boolean
): Effect.Effect<Ended> => {
  const { core } = transaction
  transaction.decided = true
  const ledger = ledgerOf(transaction, false)
  // Nothing was asked of the broker, so nothing can have taken too long for it.
  const decision = Settlement.decide(exit, { ...ledger, expired: null }, () => mayCommit)
  transition(core, decision._tag === "Commit" ? "BodySucceeded" : "BodyFailed")
  return endUnsent(transaction, decision)
}

/**
 * Ends a transaction of which the session was never told.
 */
const endUnsent = (transaction: OpenTransaction, decision: Decision): Effect.Effect<Ended> => {
  if (decision._tag === "Leave") return leave(transaction, decision.failure)
  transition(transaction.core, "Drained")
  transition(transaction.core, "Ended")
  const ended: Ended = decision._tag === "Commit"
    ? { outcome: TransactionOutcome.Committed({ proof: "nothing sent" }), failure: null }
    : { outcome: TransactionOutcome.Aborted(), failure: decision.failure }
  return Effect.as(replaceIfRetired(transaction, "the session could not begin"), ended)
}

const settleSent = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>,
  mayCommit: boolean
): Effect.Effect<Ended> => {
  const { core } = transaction
  const intent = Settlement.decide(exit, ledgerOf(transaction, false), () => mayCommit)
  const wantsCommit = intent._tag === "Commit"
  transition(core, wantsCommit ? "BodySucceeded" : "BodyFailed")
  return Effect.flatMap(drain(transaction, wantsCommit), (isDrained) => {
    transaction.decided = true
    const ledger = ledgerOf(transaction, transaction.interruptedBeforeCommit)
    const decision = Settlement.decide(exit, ledger, () => mayCommit)
    if (isDrainingToCommit(core.state) && decision._tag !== "Commit") transition(core, "BodyFailed")
    if (!isDrained) return leaveUndrained(transaction, decision)
    if (!transaction.told) return endUnsent(transaction, decision)
    switch (decision._tag) {
      case "Commit":
        return commit(transaction)
      case "Abort":
        return abort(transaction, decision.failure)
      case "Leave":
        return leave(transaction, decision.failure)
    }
  })
}

const isDrainingToCommit = (state: State): boolean =>
  state._tag === "Draining" && state.intent === "commit"

/**
 * Tells everyone who asked, hands the permit on, and fails where the exit does not say it already.
 */
const conclude = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>,
  { outcome, failure }: Ended
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    transaction.core.current = null
    ProducerLanes.passTurn(transaction)
    Attempt.settled(transaction, outcome)
    Deferred.doneUnsafe(transaction.outcome, Effect.succeed(outcome))
    const told = tell(transaction, failure === null ? exit : Exit.fail(failure), outcome).pipe(
      // A tracer is the program's, and may throw; the transaction has ended all the same.
      Effect.catchDefect((defect) =>
        Effect.logError("kafka-once: telling of a transaction's end died", defect)
      ),
      Effect.ensuring(transaction.releasePermit)
    )
    if (failure !== null) return Effect.andThen(told, Effect.fail(failure))
    // The body succeeded and the program was interrupted before the commit point: its value must
    // not get out as if it had been committed.
    return transaction.interruptedBeforeCommit ? Effect.andThen(told, Effect.interrupt) : told
  })

/**
 * Metrics, event and span of a transaction that has ended, in one step: each transaction pays for
 * it.
 */
const tell = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>,
  outcome: TransactionOutcome
): Effect.Effect<void> =>
  Effect.withFiber(({ context }) => {
    const { core, clock, beganAtMillis, acknowledgedRecords, acknowledgedBytes } = transaction
    const { metrics, settings } = core
    const durationMillis = monotonicMillisOf(clock) - beganAtMillis
    outcomeMetric(metrics, outcome).updateUnsafe(1, context)
    metrics.openTransactions.updateUnsafe(0, context)
    metrics.transactionDuration.updateUnsafe(durationMillis, context)
    if (acknowledgedRecords > 0) metrics.sentRecords.updateUnsafe(acknowledgedRecords, context)
    if (acknowledgedBytes > 0) metrics.sentBytes.updateUnsafe(acknowledgedBytes, context)
    const settled = ProducerEvent.TransactionSettled({
      transactionalId: settings.transactionalId,
      outcome,
      records: acknowledgedRecords,
      durationMillis
    })
    publishUnsafe(core, settled)
    transaction.span.attribute("kafka_once.outcome", outcome._tag)
    endSpan(transaction.span, clock, exit)
    return Effect.void
  })

const outcomeMetric = (
  metrics: OpenTransaction["core"]["metrics"],
  outcome: TransactionOutcome
) => {
  switch (outcome._tag) {
    case "Committed":
      return metrics.committed
    case "Aborted":
      return metrics.aborted
    case "Unknown":
      return metrics.unknown
  }
}
