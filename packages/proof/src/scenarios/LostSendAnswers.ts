/**
 * P1: the answers to the sends of a transaction are lost until the client gives up; the program
 * aborts, and goes on with the same producer.
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
export const lostSendAnswers = Scenario.make(
  "P1",
  "the answers to a send are lost, the transaction is aborted, the next one commits",
  ({ producer, proxy, settledLog, transaction, transactionalId, verdict }) =>
    Effect.gen(function*() {
      const client = yield* producer
      const lost = FaultProxyRule.dropResponse({ api: "Produce", transactionalId })
      yield* transaction(client, (send) => send("aborted"), { mayFail: true }).pipe(
        proxy.withRule(lost)
      )
      yield* transaction(client, (send) => send("committed"))
      return verdict(yield* settledLog)
    }).pipe(Effect.scoped)
)
