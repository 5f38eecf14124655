/**
 * A fatal error: another instance takes over the transactional id, and this one ends with an exit
 * code of its own, so that a supervisor can tell it from a crash.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Broker from "./broker.ts"

class Replaced extends Data.TaggedError("Replaced")<{ readonly transactionalId: string }> {
  override readonly [Runtime.errorExitCode] = 3
  override readonly [Runtime.errorReported] = false
}

const pay = Transaction.send([{ topic: "orders", key: "42", value: "paid" }])

const program = Effect.gen(function*() {
  const older = yield* TransactionalProducer.make({ transactionalId: "example-04" })
  yield* pay.pipe(older.withTransaction())
  yield* Console.log("the older instance has committed")

  const newer = yield* TransactionalProducer.make({ transactionalId: "example-04" })
  yield* pay.pipe(newer.withTransaction())
  yield* Console.log("the newer instance has committed")

  yield* pay.pipe(
    older.withTransaction({ retry: Transaction.defaultSchedule }),
    Effect.catchReason(
      "KafkaError",
      "ProducerFenced",
      ({ transactionalId }) =>
        Console.log("the older instance is fenced, and never run again").pipe(
          Effect.andThen(new Replaced({ transactionalId }))
        )
    )
  )
}).pipe(Effect.scoped)

NodeRuntime.runMain(program.pipe(Effect.provide(Broker.driverWith("orders"))))

// => the older instance has committed
// => the newer instance has committed
// => the older instance is fenced, and never run again
// exit code 3
