/**
 * A pipeline: payments in, receipts out. Each receipt is committed together with the offset of its
 * payment, so that whatever fails, no payment is left without a receipt, or gets two.
 *
 * A service would be the pipeline alone, `NodeRuntime.runMain(pipeline)`, until SIGTERM drains it.
 * Here it ends when a reader has seen what it wrote.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Consumer from "@kafka-once/core/Consumer"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Broker from "./broker.ts"

const payments = Topic.make({
  name: "payments",
  key: Topic.text,
  value: Topic.json(Schema.Struct({ amount: Schema.Finite }))
})
const receipts = Topic.make({ name: "receipts", key: Topic.text, value: Topic.text })

const pipeline = ExactlyOnce.run({
  groupId: "example-08",
  input: payments,
  outputs: [receipts],
  process: ExactlyOnce.eachRecord(({ key, value }) =>
    Effect.map(
      Topic.record(receipts, { key, value: `received ${value.amount}` }),
      (receipt) => [receipt]
    )
  )
})

const pay = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.make({ transactionalId: "example-08-customer" })
  const records = yield* Effect.forEach(
    [10, 20, 30],
    (amount) => Topic.record(payments, { key: "customer-1", value: { amount } })
  )
  yield* Transaction.send(records).pipe(producer.withTransaction())
}).pipe(Effect.scoped)

// A consumer by itself is at least once: process, then commit.
const readThree = Effect.gen(function*() {
  const consumer = yield* Consumer.make({ groupId: "example-08-reader", topics: [receipts.name] })
  let seen = 0
  yield* consumer.batches.pipe(
    Stream.tap(({ offsets, records }) =>
      Effect.forEach(
        records,
        ({ value }) => Console.log(value === null ? "nothing" : new TextDecoder().decode(value))
      ).pipe(
        Effect.andThen(consumer.commit(offsets))
      )
    ),
    Stream.takeUntil(({ records }) => (seen += records.length) >= 3),
    Stream.runDrain
  )
}).pipe(Effect.scoped)

const program = Effect.andThen(pay, Effect.raceFirst(pipeline, readThree))

NodeRuntime.runMain(
  program.pipe(Effect.provide(Broker.driverWith("payments", "receipts")))
)

// => received 10
// => received 20
// => received 30
