import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { isKafkaError, KafkaError } from "../KafkaError.ts"

/**
 * What a pipeline or a cursor has to say in the transactions that it begins, such as whether its
 * partitions are still its own.
 */
export interface CommitGuard {
  /**
   * The transactional id fences in the group's place (I5): only then does a transaction take a
   * group's offsets on a driver without group fencing.
   */
  readonly fences: boolean
  /** Run when everything is sent, the offsets too, and EndTxn(commit) would be next. */
  readonly beforeCommit: Effect.Effect<void, KafkaError>
  /** Told of every failure that keeps the transaction from committing, as it happens. */
  readonly failed: (error: KafkaError) => void
}

/**
 * The guard of the transactions that the current fiber begins.
 */
export const CurrentCommitGuard = Context.Reference<CommitGuard | null>(
  "@kafka-once/core/CurrentCommitGuard",
  { defaultValue: () => null }
)

/**
 * The error of a transaction that its owner, and not the program, has tainted: that it was tainted
 * tells the program nothing, but what it was tainted by says what to do.
 */
export const untainted = <E>(error: E | KafkaError, by: KafkaError | null): E | KafkaError =>
  by !== null && isKafkaError(error) && error.reason._tag === "TransactionTainted"
    ? new KafkaError({ operation: "commit", reason: by.reason })
    : error
