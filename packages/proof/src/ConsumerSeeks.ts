/**
 * Seeks of a consumer over a driver, on a real broker.
 *
 * @since 0.1.0
 */
import { assert, type Vitest } from "@effect/vitest"
import * as Consumer from "@kafka-once/core/Consumer"
import { isKafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import type { Subject } from "./ConsumerBench.ts"
import * as LogReader from "./LogReader.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * Adds the tests of seeks to a suite.
 *
 * @category testing
 * @since 0.1.0
 */
export const tests = (
  it: Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>,
  { driver, groupProtocol }: Subject
): void => {
  it.effect("after a seek nothing that was fetched before is handed out, or can be committed", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const { addresses } = yield* ProxiedKafka.Proxy
      const topic = `topic-${randomUUID().slice(0, 8)}`
      yield* kafka.createTopic(topic, {})
      yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({ transactionalId: topic })
        // A transaction each, so that each is a batch of the log.
        for (let n = 0; n < 20; n++) {
          yield* Transaction.send([{ topic, partition: 0, value: `${n}` }]).pipe(
            producer.withTransaction()
          )
        }
        const at = { topic, partition: 0 }
        const consumer = yield* Consumer.make({
          groupId: topic,
          groupProtocol,
          topics: [topic],
          maxPartitionFetchBytes: 1
        })
        const next = yield* Effect.map(
          Stream.toPull(consumer.batches),
          Effect.map((batches) => batches[0])
        )
        const before = yield* next
        assert.strictEqual(before.records[0]?.offset, 0n)
        // Records are at the even offsets, markers at the odd ones.
        for (const [to, expected] of [[30n, 30n], [5n, 6n], ["earliest", 0n]] as const) {
          yield* consumer.seek(at, to)
          assert.strictEqual((yield* next).records[0]?.offset, expected)
        }
        const refused = yield* Effect.flip(consumer.commit(before.offsets))
        assert.strictEqual(isKafkaError(refused) && refused.reason._tag, "OffsetsSuperseded")
        assert.deepStrictEqual(yield* LogReader.committedOffsets(kafka, topic), [])
        const last = yield* next
        yield* consumer.commit(last.offsets)
        const [position] = yield* LogReader.committedOffsets(kafka, topic)
        assert.strictEqual(position?.offset, last.offsets.offsets[0]!.lastProcessed + 1n)
      }).pipe(Effect.scoped, Effect.provide(driver(addresses)))
    }))
}
