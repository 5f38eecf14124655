/**
 * P4: the broker commits, and its answer is lost; the program goes on with the same producer.
 *
 * @since 0.1.0
 */
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Scenario from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const lostCommitAnswer = Scenario.make(
  "P4",
  "the answer to a commit is lost once, and the next transaction begins",
  ({ producer, proxy, settledLog, transaction, transactionalId, verdict }) =>
    Effect.gen(function*() {
      const client = yield* producer
      const match = { api: "EndTxn", commit: true, nth: 1, transactionalId } as const
      yield* transaction(client, (send) => send("first")).pipe(
        proxy.withRule(FaultProxyRule.dropResponse(match))
      )
      yield* transaction(client, (send) => send("second"))
      return verdict(yield* settledLog)
    }).pipe(Effect.scoped)
)
