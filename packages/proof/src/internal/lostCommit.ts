/**
 * One transaction whose commit is lost on the wire, in either direction, and what became of it.
 */
import { assert } from "@effect/vitest"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import type { Transaction } from "@kafka-once/core/Transaction"
import type { TransactionalProducer } from "@kafka-once/core/TransactionalProducer"
import type { TransactionOutcome } from "@kafka-once/core/TransactionOutcome"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"

/** The commit of a transactional id, and every repetition of it. */
export const commitOf = (transactionalId: string) =>
  ({ api: "EndTxn", commit: true, transactionalId }) as const

/** What is lost, and what became of the transaction then. */
export const losses = [
  { lost: "answer", rule: FaultProxyRule.dropResponse, decided: "committed" },
  { lost: "request", rule: FaultProxyRule.dropRequest, decided: "aborted" }
] as const

export type Loss = (typeof losses)[number]

type Body = (transaction: Transaction["Service"]) => Effect.Effect<unknown, KafkaError>

/** One record for a transaction. */
export const oneRecord = (topic: string): Body => (transaction) =>
  transaction.send([{ topic, partition: 0, value: "ours" }])

/** How a transaction ended: its outcome, or why it failed. */
export const outcomeOf = (
  producer: TransactionalProducer["Service"],
  body: Body
): Effect.Effect<TransactionOutcome | KafkaError> =>
  Effect.scoped(Effect.tap(producer.begin(), (transaction) => body(transaction))).pipe(
    Effect.flatMap(({ outcome }) => outcome),
    Effect.catch((error) => Effect.succeed(error))
  )

/** The values that a reader sees then. */
export const shown = ({ decided }: Loss): ReadonlyArray<string> =>
  decided === "committed" ? ["ours"] : []

export const assertDecided = (
  found: TransactionOutcome | KafkaError,
  { decided }: Loss,
  proof: "end marker" | "committed offset" = "end marker"
): void => {
  if (decided === "committed") {
    assert.deepInclude(found, { _tag: "Committed", proof })
  } else {
    assert(found._tag === "KafkaError", JSON.stringify(found))
    assert.strictEqual(found.reason._tag, "CommitRefused")
  }
}
