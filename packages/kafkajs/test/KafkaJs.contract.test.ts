import * as DriverContract from "@kafka-once/proof/DriverContract"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KafkaJs from "../src/KafkaJs.ts"

DriverContract.suite(
  "kafkajs",
  Layer.unwrap(
    Effect.map(DriverContract.Brokers, ({ addresses }) => KafkaJs.layer({ brokers: addresses }))
  )
)
