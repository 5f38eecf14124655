/**
 * Running a transaction again: the schedule says when, the library says whether.
 *
 * A transaction is run again only when it is proven to be aborted, and the failure is one that
 * another run can cure. Failures of your own are opened to the schedule with `retryWhile`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Broker from "./broker.ts"

class RateUnavailable extends Data.TaggedError("RateUnavailable")<{}> {}

let runs = 0

// The first two runs send a record and then fail; their records are never visible.
const convert = Effect.gen(function*() {
  runs += 1
  yield* Transaction.send([{ topic: "orders", key: "42", value: `run ${runs}` }])
  if (runs < 3) return yield* new RateUnavailable()
  return runs
})

const program = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.TransactionalProducer

  const run = yield* producer.withTransaction(convert, {
    retry: Schedule.exponential("50 millis").pipe(Schedule.upTo({ times: 5 })),
    retryWhile: (error) => error._tag === "RateUnavailable"
  })
  yield* Console.log("bracket form: committed by run", run)

  runs = 1
  const scoped = yield* Effect.scoped(Effect.gen(function*() {
    const transaction = yield* producer.begin()
    return yield* Effect.provideService(convert, Transaction.Transaction, transaction)
  })).pipe(
    Transaction.retry(Transaction.defaultSchedule, {
      retryWhile: (error: RateUnavailable | KafkaError) => error._tag === "RateUnavailable"
    })
  )
  yield* Console.log("scope form: committed by run", scoped)
})

const Live = TransactionalProducer.layer({ transactionalId: "example-03" }).pipe(
  Layer.provide(Broker.driverWith("orders"))
)

NodeRuntime.runMain(program.pipe(Effect.provide(Live)))

// => bracket form: committed by run 3
// => scope form: committed by run 3
