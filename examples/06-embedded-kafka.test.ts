/**
 * A real broker in a suite of your own: `layer(EmbeddedKafka.layer())` starts one for the block,
 * and removes it when the block has run.
 *
 * `excludeTestServices` gives the tests the live clock. The test clock stands still until a test
 * moves it, and with it every pause and deadline of a program, while the broker's own clock runs.
 */
import { assert, layer } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"

const options = { timeout: "3 minutes", excludeTestServices: true } as const

layer(EmbeddedKafka.layer(), options)("orders", (it) => {
  it.effect("an order is visible when its transaction has committed, and only then", () =>
    Effect.gen(function*() {
      const { bootstrapServers, classPath, createTopic } = yield* EmbeddedKafka.EmbeddedKafka
      yield* createTopic("orders")
      const driver = KafkaJs.layer({ brokers: bootstrapServers })

      yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({ transactionalId: "example-06" })
        const send = (value: string) => Transaction.send([{ topic: "orders", key: "42", value }])
        yield* send("paid").pipe(producer.withTransaction())
        yield* send("never seen").pipe(
          Effect.andThen(Effect.fail("no")),
          producer.withTransaction(),
          Effect.flip
        )
      }).pipe(Effect.scoped, Effect.provide(driver))

      const records = yield* CommittedRecords.read({ bootstrapServers, classPath, topic: "orders" })
      const values = records.map(({ value }) => value && new TextDecoder().decode(value))
      assert.deepStrictEqual(values, ["paid"])
    }))
})
