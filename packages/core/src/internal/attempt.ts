import * as Context from "effect/Context"
import type { TransactionOutcome } from "../TransactionOutcome.ts"
import type { ProducerCore } from "./producerCore.ts"

/**
 * What is noted of a transaction.
 */
export interface Noted {
  readonly core: ProducerCore
  readonly attempt: Attempt | null
}

/**
 * One run of a program that may be run again, and what is to be known of the transactions that it
 * has begun. It holds those that are open, and of those that have ended only the outcomes that
 * forbid another run: a run may be a whole day of transactions.
 */
export interface Attempt {
  readonly open: Set<Noted>
  readonly cores: Set<ProducerCore>
  readonly outcomes: Map<string, TransactionOutcome>
  readonly parent: Attempt | null
}

/**
 * Makes the record of a run.
 */
export const make = (parent: Attempt | null): Attempt => ({
  open: new Set(),
  cores: new Set(),
  outcomes: new Map(),
  parent
})

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
export const note = (attempt: Attempt | null, transaction: Noted): void => {
  for (let at = attempt; at !== null; at = at.parent) {
    at.open.add(transaction)
    at.cores.add(transaction.core)
  }
}

/**
 * Notes how a transaction has ended; one of each kind is enough to decide by.
 */
export const settled = (transaction: Noted, outcome: TransactionOutcome): void => {
  const kind = outcome._tag === "Committed" ? `Committed by ${outcome.proof}` : outcome._tag
  for (let at = transaction.attempt; at !== null; at = at.parent) {
    at.open.delete(transaction)
    at.outcomes.set(kind, outcome)
  }
}

/**
 * The outcomes of a run's transactions, one of each kind, or `null` while one of them is still
 * open.
 */
export const outcomesOf = (attempt: Attempt): ReadonlyArray<TransactionOutcome> | null =>
  attempt.open.size > 0 ? null : [...attempt.outcomes.values()]
