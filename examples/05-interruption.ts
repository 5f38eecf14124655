/**
 * Interruption and SIGTERM: the open transaction is aborted, and the process waits for that.
 *
 * The example sends SIGTERM to itself in the middle of a transaction, as an orchestrator would.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Broker from "./broker.ts"

const program = Effect.scoped(Effect.gen(function*() {
  const producer = yield* TransactionalProducer.TransactionalProducer

  // Registered before the transaction begins, so that it runs after the transaction has ended.
  let outcome: Effect.Effect<string> = Effect.succeed("not begun")
  yield* Effect.addFinalizer(() => Effect.flatMap(outcome, (tag) => Console.log("outcome:", tag)))

  const transaction = yield* producer.begin()
  outcome = Effect.map(transaction.outcome, ({ _tag }) => _tag)
  yield* transaction.send([{ topic: "orders", key: "42", value: "paid" }])
  yield* Console.log("sent; now the process is told to stop")
  yield* Effect.sync(() => process.kill(process.pid, "SIGTERM"))
  return yield* Effect.never
}))

const Live = TransactionalProducer.layer({ transactionalId: "example-05" }).pipe(
  Layer.provide(Broker.driverWith("orders"))
)

NodeRuntime.runMain(program.pipe(Effect.provide(Live)))

// => sent; now the process is told to stop
// => outcome: Aborted
// exit code 130
