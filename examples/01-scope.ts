/**
 * The scope form: a transaction is begun in a Scope and ended by it.
 *
 * What happened inside decides: success commits, failure aborts. The transaction composes with
 * everything else that lives in a Scope.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Broker from "./broker.ts"

const program = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.TransactionalProducer

  const paid = yield* Effect.scoped(Effect.gen(function*() {
    const transaction = yield* producer.begin()
    yield* transaction.send([{ topic: "orders", key: "42", value: "paid" }])
    return transaction
  }))
  yield* Console.log("order 42:", (yield* paid.outcome)._tag)

  let rejected = paid
  const result = yield* Effect.scoped(Effect.gen(function*() {
    rejected = yield* producer.begin()
    yield* rejected.send([{ topic: "orders", key: "43", value: "paid" }])
    return yield* Effect.fail("the card was declined")
  })).pipe(Effect.flip)
  yield* Console.log("order 43:", (yield* rejected.outcome)._tag, "because", result)
})

const Live = TransactionalProducer.layer({ transactionalId: "example-01" }).pipe(
  Layer.provide(Broker.driverWith("orders"))
)

NodeRuntime.runMain(program.pipe(Effect.provide(Live)))

// => order 42: Committed
// => order 43: Aborted because the card was declined
