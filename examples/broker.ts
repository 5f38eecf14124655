/**
 * The broker that the examples run on: the cluster of `KAFKA_BROKERS` where that is set, otherwise
 * a real broker that is started for the example and removed with it.
 */
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const { KAFKA_BROKERS } = process.env

const brokers: Effect.Effect<ReadonlyArray<string>, never, EmbeddedKafka.EmbeddedKafka> = Effect
  .map(
    EmbeddedKafka.EmbeddedKafka,
    (kafka) => kafka.bootstrapServers
  )

const embedded = (topics: ReadonlyArray<string>) =>
  Layer.effectDiscard(
    Effect.flatMap(EmbeddedKafka.EmbeddedKafka, (kafka) =>
      Effect.forEach(topics, (topic) => kafka.createTopic(topic)))
  )

/** A driver over kafkajs, to a broker that has the topics. */
export const driverWith = (...topics: ReadonlyArray<string>) =>
  KAFKA_BROKERS !== undefined
    ? KafkaJs.layer({ brokers: KAFKA_BROKERS.split(","), clientId: "kafka-once-examples" })
    : Layer.unwrap(
      Effect.map(brokers, (addresses) =>
        KafkaJs.layer({ brokers: addresses, clientId: "kafka-once-examples" }))
    ).pipe(
      Layer.merge(embedded(topics)),
      Layer.provide(EmbeddedKafka.layer())
    )
