import { KafkaError, type Reason } from "../KafkaError.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"
import type { ProducerCore } from "./producerCore.ts"

/**
 * How a transaction ended, with the typed failure to add where the body's exit is a success.
 */
export interface Ended {
  readonly outcome: TransactionOutcome
  readonly failure: KafkaError | null
}

/**
 * It is aborted.
 */
export const aborted = (failure: KafkaError | null): Ended => ({
  outcome: TransactionOutcome.Aborted(),
  failure
})

/**
 * The failure of a commit.
 */
export const commitFailure = (reason: Reason): KafkaError =>
  new KafkaError({ operation: "commit", reason })

/**
 * The failure that a release tells: where the session could not be replaced because another
 * instance has taken over, that says more than what the transaction itself came upon.
 */
export const orFence = <A extends KafkaError | null>({ dead }: ProducerCore, failure: A) =>
  failure === null || dead === null ? failure : commitFailure(dead.reason)
