/** The contracts again on the oldest broker of Kafka 4. */
import * as ConsumerContract from "@kafka-once/proof/ConsumerContract"
import * as DriverContract from "@kafka-once/proof/DriverContract"
import * as PipelineContract from "@kafka-once/proof/PipelineContract"
import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fileURLToPath } from "node:url"
import * as KafkaJs from "../src/KafkaJs.ts"

const name = "kafkajs on Kafka 4.0"
const broker = { version: "4.0.1" }
const program = fileURLToPath(new URL("resolveLater.ts", import.meta.url))
const driver = (brokers: ReadonlyArray<string>) => KafkaJs.layer({ brokers })

DriverContract.suite(
  name,
  Layer.unwrap(Effect.map(DriverContract.Brokers, ({ addresses }) => driver(addresses))),
  { broker }
)
ProducerContract.suite(name, driver, program, { broker })
ConsumerContract.suite(name, driver, { broker })
PipelineContract.suite(name, driver, { broker })
