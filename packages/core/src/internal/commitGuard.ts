import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { KafkaError } from "../KafkaError.ts"

/**
 * What a consuming pipeline has to say in the transactions that it begins: whether its partitions
 * are still its own. Only such a transaction takes offsets on a driver without group fencing,
 * because its transactional id fences in the group's place (I5).
 */
export interface CommitGuard {
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
