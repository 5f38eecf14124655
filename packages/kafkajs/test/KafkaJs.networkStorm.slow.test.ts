import * as NetworkStorm from "@kafka-once/proof/NetworkStorm"
import * as KafkaJs from "../src/KafkaJs.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? 7)

NetworkStorm.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }), { seed, cycles: 3 })
