/**
 * P3: a send gets no answer, and the program closes its producer in the orderly way, as on a
 * SIGTERM.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as LogReader from "../LogReader.ts"
import * as PartitionLog from "../PartitionLog.ts"
import * as Scenario from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const closeWhilePending = Scenario.make(
  "P3",
  "a producer is closed while a send of it is pending",
  ({ log, producer, proxy, transaction, transactionalId, verdict }) =>
    Effect.gen(function*() {
      const work = yield* Effect.gen(function*() {
        const client = yield* producer
        const lost = FaultProxyRule.dropRequest({ api: "Produce", transactionalId, nth: 1 })
        const rule = yield* proxy.inject(lost)
        const body = transaction(client, (send) => send("late"), { mayFail: true })
        const work = yield* Effect.forkDetach(body)
        yield* rule.fired
        return work
      }).pipe(Effect.scoped)
      // The producer is closed. Its client may wait as long as this before it tries again.
      const after = yield* proxy.log.position
      const opened = yield* proxy.connections.opened
      const end = (yield* log).highWatermark
      yield* proxy.log.awaitFrame(
        { api: "Produce", transactionalId, nth: 1, phase: "response" },
        { after, timeout: "3 seconds" }
      ).pipe(Effect.option)
      yield* Fiber.await(work).pipe(Effect.timeoutOption("3 seconds"))
      yield* Fiber.interrupt(work)
      const late = (yield* proxy.log.entries).filter((entry) => entry.position >= after)
      const connections = (yield* proxy.connections.opened) - opened
      const open = yield* LogReader.openTransactions(
        yield* EmbeddedKafka.EmbeddedKafka,
        transactionalId
      )
      const found = yield* log
      return verdict(found, [
        ...afterTheClose(late, connections),
        ...PartitionLog.decide(found).filter(({ offset }) => offset >= end).map((record) =>
          `"${PartitionLog.textOf(record)}" was appended after the close, and is ${record.decision}`
        ),
        ...open.map(() => "a transaction is left open, and holds every reader back")
      ])
    })
)

const afterTheClose = (
  late: ReadonlyArray<FaultProxyWireLog.Entry>,
  connections: number
): ReadonlyArray<string> => {
  if (late.length === 0 && connections === 0) return []
  const names = [...new Set(late.map(({ api }) => api))].join(", ")
  return [`after the close the client opened ${connections} connections and sent ${names}`]
}
