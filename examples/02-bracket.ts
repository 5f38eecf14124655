/**
 * The bracket form, and deep code that needs no handle.
 *
 * `pay` says in its `R` that it must run inside a transaction. Which one is decided where the
 * program is put together; outside of one it does not compile.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Broker from "./broker.ts"

const pay = (order: string) =>
  Transaction.send([
    { topic: "orders", key: order, value: "paid", headers: { source: "checkout" } }
  ])

const receipts = Stream.range(1, 1_000).pipe(
  Stream.map((n) => ({ topic: "orders", key: String(n), value: "receipt" })),
  Stream.run(Transaction.sink)
)

const program = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.TransactionalProducer
  const [first] = yield* pay("42").pipe(producer.withTransaction())
  yield* Console.log("one record on partition", first?.partition)

  const sent = yield* Effect.all([pay("43"), pay("44"), receipts], { concurrency: "unbounded" })
    .pipe(
      Effect.as("all of them, or none"),
      producer.withTransaction()
    )
  yield* Console.log(sent)
})

const Live = TransactionalProducer.layer({ transactionalId: "example-02" }).pipe(
  Layer.provide(Broker.driverWith("orders"))
)

NodeRuntime.runMain(program.pipe(Effect.provide(Live)))

// => one record on partition 0
// => all of them, or none
