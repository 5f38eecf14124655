/**
 * What a cursor promises over a driver, shown on a real broker: the coordinator takes the offsets
 * of a group without members, and nothing is relayed twice.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import * as Cursor from "@kafka-once/core/Cursor"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import { type DriverAt, reasonOf, send, withProducer } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/** Relays the next so many of the numbers 1, 2, 3, ... */
const relay = (topic: string, count: number) => (position: bigint | null) => {
  const first = Number(position ?? 0n) + 1
  const ids = Array.from({ length: count }, (_, index) => `${first + index}`)
  return Effect.as(send(topic, ...ids), BigInt(first + count - 1))
}

/**
 * Runs the contract of cursors over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `a cursor, over ${name}`,
    (it) => {
      it.effect("goes on where it was, at once and in a new producer", () =>
        withProducer(driver, ({ options, topic, visible }, producer) =>
          Effect.gen(function*() {
            const cursor = yield* Cursor.make({ producer, topic })
            // One after another without a pause: the markers of the last one may still be on
            // their way when the next one reads.
            for (let turn = 0; turn < 20; turn++) yield* cursor.advance(relay(topic, 2))
            const next = yield* TransactionalProducer.make(options)
            const later = yield* Cursor.make({ producer: next, topic })
            assert.strictEqual(yield* later.advance(relay(topic, 2)), 42n)
            assert.deepStrictEqual(
              [...yield* visible].sort(),
              Array.from({ length: 42 }, (_, index) => `${index + 1}`).sort()
            )
          }).pipe(Effect.scoped)))

      it.effect("loses and doubles nothing when the answer to a commit is lost", () =>
        withProducer(
          driver,
          ({ proxy, topic, transactionalId, visible }, producer) =>
            Effect.gen(function*() {
              const cursor = yield* Cursor.make({ producer, topic })
              const lost = FaultProxyRule.dropResponse({
                api: "EndTxn",
                commit: true,
                nth: 1,
                transactionalId
              })
              yield* cursor.advance(relay(topic, 2)).pipe(proxy.withRule(lost))
              yield* cursor.advance(relay(topic, 2))
              assert.deepStrictEqual(yield* visible, ["1", "2", "3", "4"])
            })
        ))

      it.effect("an instance that was passed by another is refused", () =>
        withProducer(driver, ({ options, topic, visible }, producer) =>
          Effect.gen(function*() {
            const passed = yield* Cursor.make({ producer, topic })
            yield* passed.advance(relay(topic, 2))
            const other = yield* TransactionalProducer.make(options)
            const cursor = yield* Cursor.make({ producer: other, topic })
            yield* cursor.advance(relay(topic, 2))
            const exit = yield* Effect.exit(passed.advance(relay(topic, 2)))
            assert.strictEqual(reasonOf(exit), "ProducerFenced")
            yield* cursor.advance(relay(topic, 1))
            assert.deepStrictEqual(yield* visible, ["1", "2", "3", "4", "5"])
          }).pipe(Effect.scoped)))

      it.effect("keeps the largest position", () =>
        withProducer(driver, ({ topic }, producer) =>
          Effect.gen(function*() {
            const largest = 2n ** 63n - 1n
            const cursor = yield* Cursor.make({ producer, topic })
            yield* cursor.advance(() => Effect.succeed(largest))
            assert.strictEqual(yield* cursor.advance((at) => Effect.succeed(at)), largest)
            const read = yield* KafkaDriver.use((client) =>
              client.committedOffsets(cursor.groupId, [{ topic, partition: 0 }])
            )
            assert.strictEqual(read[0]?.offset, largest)
          })))
    }
  )
}
