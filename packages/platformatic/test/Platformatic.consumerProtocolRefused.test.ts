/** A broker that does not speak the consumer group protocol (KIP-848). */
import { assert, layer } from "@effect/vitest"
import * as Consumer from "@kafka-once/core/Consumer"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import { isKafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Platformatic from "../src/Platformatic.ts"

const classicOnly = { "group.coordinator.rebalance.protocols": "classic" }

layer(EmbeddedKafka.layer({ properties: classicOnly }), {
  timeout: "3 minutes",
  excludeTestServices: true
})("platformatic, on a broker with classic groups alone", (it) => {
  it.effect("the consumer protocol is refused when the member is made, with what to do", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("input")
      const input = Topic.make({ name: "input", key: Topic.text, value: Topic.text })
      const groupProtocol = "consumer" as const
      yield* Effect.gen(function*() {
        for (
          const making of [
            Effect.asVoid(
              Consumer.make({ groupId: "group", topics: ["input"], groupProtocol })
            ),
            Effect.asVoid(ExactlyOnce.make({
              groupId: "group",
              input,
              process: () => Effect.void,
              consumer: { groupProtocol }
            }))
          ]
        ) {
          const startedAt = performance.now()
          const error = yield* Effect.flip(making)
          assert(isKafkaError(error))
          assert.strictEqual(error.reason._tag, "UnsupportedByBroker")
          assert.include(error.message, "Leave groupProtocol out, or use Kafka 4.0 or newer")
          assert.isBelow(performance.now() - startedAt, 5_000)
        }
        yield* Consumer.make({ groupId: "group", topics: ["input"] })
      }).pipe(
        Effect.scoped,
        Effect.provide(Platformatic.layer({ brokers: kafka.bootstrapServers }))
      )
    }))
})
