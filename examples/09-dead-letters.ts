/**
 * Dead letters: a record that does not decode, and one that the program refuses, do not stop the
 * others. They go to the dead-letter topic in the same transaction as their offset, with headers
 * that say why.
 *
 * Which record of a batch is refused need not be known: the pipeline tries the batch again by the
 * schedule `retry`, and then in halves until the one is found that fails by itself.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Consumer from "@kafka-once/core/Consumer"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Broker from "./broker.ts"

class NotEnoughMoney extends Data.TaggedError("NotEnoughMoney")<{ readonly amount: number }> {
  override get message(): string {
    return `${this.amount} is more than there is`
  }
}

const transfers = Topic.make({
  name: "transfers",
  key: Topic.text,
  value: Topic.json(Schema.Struct({ amount: Schema.Finite }))
})

const pipeline = ExactlyOnce.run({
  groupId: "example-09",
  input: transfers,
  deadLetterTopic: "transfers-dead",
  retry: Schedule.recurs(1),
  process: ExactlyOnce.eachRecord(({ key, value: { amount } }) =>
    amount > 100
      ? Effect.fail(new NotEnoughMoney({ amount }))
      : Effect.succeed([{ topic: "booked", key, value: String(amount) }])
  )
})

const write = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.make({ transactionalId: "example-09-customer" })
  const values = [`{"amount":1}`, `{"amount":"two"}`, `{"amount":3000}`, `{"amount":4}`]
  yield* Transaction.send(
    values.map((value) => ({ topic: "transfers", key: "customer-1", value }))
  ).pipe(producer.withTransaction())
}).pipe(Effect.scoped)

const text = (bytes: Uint8Array | null | undefined) => new TextDecoder().decode(bytes ?? undefined)

/** Reads so many records of a topic, and tells of each. */
const read = <E>(
  topic: string,
  count: number,
  tell: (record: {
    readonly value: string
    readonly header: (name: string) => string
  }) => Effect.Effect<void, E>
) =>
  Effect.gen(function*() {
    const consumer = yield* Consumer.make({ groupId: `example-09-${topic}`, topics: [topic] })
    let seen = 0
    yield* consumer.batches.pipe(
      Stream.tap(({ offsets, records }) =>
        Effect.forEach(records, ({ headers, value }) => {
          const header = (name: string) =>
            text(headers.find(([found]) => found === `kafka-once.dead-letter.${name}`)?.[1])
          return tell({ value: text(value), header })
        }).pipe(Effect.andThen(consumer.commit(offsets)))
      ),
      Stream.takeUntil(({ records }) => (seen += records.length) >= count),
      Stream.runDrain
    )
  }).pipe(Effect.scoped)

const readAll = Effect.gen(function*() {
  yield* read("booked", 2, ({ value }) => Console.log("booked:", value))
  yield* read(
    "transfers-dead",
    2,
    ({ header, value }) => Console.log(`dead: ${value}: ${header("error")}, ${header("message")}`)
  )
})

const program = Effect.andThen(write, Effect.raceFirst(pipeline, readAll))

NodeRuntime.runMain(
  program.pipe(Effect.provide(Broker.driverWith("transfers", "booked", "transfers-dead")))
)

// => booked: 1
// => booked: 4
// => dead: {"amount":"two"}: UndecodableRecord, the value is not what the schema says at amount
// => dead: {"amount":3000}: NotEnoughMoney, 3000 is more than there is
