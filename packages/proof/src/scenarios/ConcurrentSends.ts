/**
 * P14: two sends of one transaction to one partition are under way together, and the answer to the
 * first Produce is lost once.
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
export const concurrentSends = Scenario.make(
  "P14",
  "two sends are awaited together, and one answer is lost once",
  ({ producer, proxy, settledLog, transaction, transactionalId, verdict }) =>
    Effect.gen(function*() {
      const client = yield* producer
      const lost = FaultProxyRule.dropResponse({ api: "Produce", nth: 1, transactionalId })
      yield* transaction(
        client,
        (send) => Effect.all([send("one"), send("two")], { concurrency: 2 })
      ).pipe(proxy.withRule(lost))
      return verdict(yield* settledLog)
    }).pipe(Effect.scoped)
)
