/**
 * How a transaction ended.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { CommitOutcomeUnknown } from "./KafkaError.ts"

/**
 * How a transaction ended.
 *
 * **Details**
 *
 * *Shape*
 * - `Committed`: `proof` tells by what it is known: the coordinator's `"answer"`; the `"end
 *   marker"` or the `"committed offset"` read after an answer was lost; `"nothing sent"` for a
 *   transaction that wrote nothing.
 * - `Aborted`: no record of it is ever visible to a reader under `read_committed`.
 * - `Unknown`: not proven yet; ask again with `Transaction.resolve`.
 *
 * @category models
 * @since 0.1.0
 */
export type TransactionOutcome = Data.TaggedEnum<{
  Committed: {
    readonly proof: "answer" | "end marker" | "committed offset" | "nothing sent"
  }
  Aborted: {}
  Unknown: { readonly reason: CommitOutcomeUnknown }
}>

/**
 * Constructors and matchers of {@link TransactionOutcome}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const TransactionOutcome = Data.taggedEnum<TransactionOutcome>()
