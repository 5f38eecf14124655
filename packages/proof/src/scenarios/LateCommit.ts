/**
 * P7 (and P6 of librdkafka): a commit is held up in the network, the client sends it again and goes
 * on, and the first one arrives while the next transaction is open (KAFKA-17754).
 *
 * @since 0.1.0
 */
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as PartitionLog from "../PartitionLog.ts"
import * as Scenario from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const lateCommit = Scenario.make(
  "P7",
  "a commit arrives late, while the next transaction is open, which is then aborted",
  ({ producer, proxy, settledLog, transaction, transactionalId, verdict }) =>
    Effect.gen(function*() {
      const client = yield* producer
      const gate = `late commit of ${transactionalId}`
      const match = { api: "EndTxn", commit: true, nth: 1, transactionalId } as const
      yield* proxy.inject(FaultProxyRule.hold(match, gate))
      yield* transaction(client, (send) => send("first"))
      const after = yield* proxy.log.position
      yield* transaction(client, (send) =>
        send("second").pipe(
          Effect.andThen(proxy.release(gate)),
          // The broker has answered the late commit, to nobody.
          Effect.andThen(
            proxy.log.awaitFrame({ ...match, phase: "forwarded" }, { timeout: "3 seconds" })
          ),
          Effect.andThen(
            proxy.log.awaitFrame(
              { api: "EndTxn", transactionalId, phase: "response" },
              { after, timeout: "500 millis" }
            ).pipe(Effect.option)
          ),
          Effect.mapError(Scenario.problemOf),
          Effect.andThen(Scenario.giveUp)
        ), { mayFail: true })
      const log = yield* settledLog
      const torn = PartitionLog.visible(log).some((record) =>
        PartitionLog.textOf(record) === "second"
      )
      return verdict(
        log,
        torn ? [`the program has aborted "second", and readers see it`] : []
      )
    }).pipe(Effect.scoped)
)
