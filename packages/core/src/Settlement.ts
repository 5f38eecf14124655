/**
 * What becomes of a transaction, decided by the kind of exit of its body.
 *
 * | exit | decision | then |
 * | --- | --- | --- |
 * | success, nothing failed on the way | commit | the value |
 * | success, but a send or offset commit failed, was interrupted or has not settled | abort | `TransactionTainted` |
 * | success, but the body took longer than it may | abort | `TransactionTimedOut` |
 * | success or failure on a fenced session | leave: nothing more is sent | `ProducerFenced`, or the body's own failure |
 * | `KafkaError` whose recovery is *retry* | abort | definitely aborted: run again under the schedule, else propagate |
 * | `KafkaError` that is fatal | abort | propagate |
 * | the body's own error, a `TimeoutError` of the user's included | abort | propagate; `retryWhile` opens it to the schedule |
 * | any failure that `commitWhen` chooses, nothing failed on the way | commit | the same failure |
 * | defect | abort | the same defect |
 * | interruption, before the commit point | abort | interruption |
 * | interruption, after it | the commit finishes, bounded | interruption |
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Exit from "effect/Exit"
import { isKafkaError, type KafkaError } from "./KafkaError.ts"
import type { TransactionOutcome } from "./TransactionOutcome.ts"

/**
 * What is known of a transaction besides its exit.
 *
 * **Details**
 *
 * *Shape*
 * - `taint`: the typed failure with which a success must end, because something asked for was not
 *   done; `null` when all was.
 * - `fenced`: the session is fenced, and the failure that says so.
 * - `expired`: the body took longer than it may, and the failure that says so.
 * - `interrupted`: the program was interrupted after the body and before the commit point.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  readonly taint: KafkaError | null
  readonly fenced: KafkaError | null
  readonly expired: KafkaError | null
  readonly interrupted: boolean
}

/**
 * What to do with a transaction.
 *
 * **Details**
 *
 * *Shape*: `failure` is the typed failure to add where the exit itself is a success; `null` where
 * the exit speaks for itself. `Leave` sends nothing more, and the session is closed.
 *
 * @category models
 * @since 0.1.0
 */
export type Decision = Data.TaggedEnum<{
  Commit: {}
  Abort: { readonly failure: KafkaError | null }
  Leave: { readonly failure: KafkaError | null }
}>

/**
 * Constructors and matchers of {@link Decision}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const Decision = Data.taggedEnum<Decision>()

/**
 * Decides what becomes of a transaction.
 *
 * **Details**
 *
 * The table at the head of this module has a row for each case. `commitWhen` can turn a failure
 * into a commit; nothing can turn a tainted, fenced, expired or interrupted transaction into one.
 *
 * @category operations
 * @since 0.1.0
 */
export const decide = (
  exit: Exit.Exit<unknown, unknown>,
  ledger: Ledger,
  commitWhen: (exit: Exit.Exit<unknown, unknown>) => boolean = Exit.isSuccess
): Decision => {
  const speaksForItself = Exit.isFailure(exit)
  const failure = (error: KafkaError) => ({ failure: speaksForItself ? null : error })
  if (ledger.fenced !== null) return Decision.Leave(failure(ledger.fenced))
  if (ledger.interrupted || Exit.hasInterrupts(exit)) return Decision.Abort({ failure: null })
  if (!commitWhen(exit)) return Decision.Abort({ failure: null })
  if (ledger.taint !== null) return Decision.Abort(failure(ledger.taint))
  if (ledger.expired !== null) return Decision.Abort(failure(ledger.expired))
  return Decision.Commit()
}

const leftNothing = (outcome: TransactionOutcome): boolean =>
  outcome._tag === "Aborted" ||
  (outcome._tag === "Committed" && outcome.proof === "nothing sent")

/**
 * Whether a failed program may be run again.
 *
 * **Details**
 *
 * Only when every transaction that it began is proven to be aborted: never after an unknown
 * outcome, and never after one that committed. Then a `KafkaError` whose recovery is *retry* may,
 * and whatever `retryWhile` allows. The schedule says when, this function says whether.
 *
 * @category operations
 * @since 0.1.0
 */
export const mayRunAgain = <E>(
  error: E,
  outcomes: ReadonlyArray<TransactionOutcome>,
  retryWhile: (error: E) => boolean
): boolean =>
  outcomes.every(leftNothing) &&
  (isKafkaError(error) && error.recovery === "resolve"
    ? false
    : (isKafkaError(error) && error.recovery === "retry") || retryWhile(error))
