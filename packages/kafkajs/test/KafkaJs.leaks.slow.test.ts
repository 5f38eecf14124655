/** In a process of its own, for what a process holds is the whole process's. */
import * as Leaks from "@kafka-once/proof/Leaks"
import * as KafkaJs from "../src/KafkaJs.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? 5)

Leaks.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }), {
  scopes: 20_000,
  seed,
  timeoutMillis: 1_800_000
})
