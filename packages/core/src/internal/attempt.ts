import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { TransactionOutcome } from "../TransactionOutcome.ts"
import type { OpenTransaction } from "./openTransaction.ts"

/**
 * One run of a program that may be run again: the transactions that it has begun.
 */
export interface Attempt {
  readonly transactions: Array<OpenTransaction>
  readonly parent: Attempt | null
}

/**
 * The innermost run that the current fiber is part of.
 */
export const CurrentAttempt = Context.Reference<Attempt | null>(
  "@kafka-once/core/CurrentAttempt",
  { defaultValue: () => null }
)

/**
 * Notes a transaction with the current run, and with every run around it.
 */
export const note = (attempt: Attempt | null, transaction: OpenTransaction): void => {
  for (let at = attempt; at !== null; at = at.parent) at.transactions.push(transaction)
}

/**
 * The outcomes of a run's transactions, or `null` while one of them is still open.
 */
export const outcomesOf = (
  attempt: Attempt
): Effect.Effect<ReadonlyArray<TransactionOutcome> | null> =>
  Effect.gen(function*() {
    const outcomes: Array<TransactionOutcome> = []
    for (const transaction of attempt.transactions) {
      if (!Deferred.isDoneUnsafe(transaction.outcome)) return null
      const exit = yield* Effect.exit(Deferred.await(transaction.outcome))
      if (Exit.isSuccess(exit)) outcomes.push(exit.value)
    }
    return outcomes
  })
