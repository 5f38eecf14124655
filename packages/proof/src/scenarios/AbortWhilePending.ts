/**
 * P2: a send gets no answer, and the program aborts without waiting for it; then it begins the next
 * transaction.
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
export const abortWhilePending = Scenario.make(
  "P2",
  "a transaction is aborted while a send of it is pending, and the next one begins",
  ({ producer, proxy, settledLog, transaction, transactionalId, verdict }) =>
    Effect.gen(function*() {
      const client = yield* producer
      const match = { api: "Produce", transactionalId } as const
      const rule = yield* proxy.inject(FaultProxyRule.dropRequest({ ...match, nth: 1 }))
      yield* transaction(
        client,
        (send) =>
          send("aborted").pipe(Effect.raceFirst(rule.fired), Effect.andThen(Scenario.giveUp)),
        {
          mayFail: true
        }
      )
      // The first Produce was swallowed, the second is the next transaction's own. A third would be
      // the first again; a client may wait as long as this before it sends it.
      const third = proxy.log.awaitFrame(
        { ...match, nth: 3, phase: "response" },
        { timeout: "2 seconds" }
      ).pipe(Effect.option)
      yield* transaction(client, (send) => Effect.andThen(send("committed"), third))
      return verdict(yield* settledLog)
    }).pipe(Effect.scoped)
)
