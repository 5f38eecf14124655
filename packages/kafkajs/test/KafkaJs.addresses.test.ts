import * as Addresses from "@kafka-once/proof/Addresses"
import * as KafkaJs from "../src/KafkaJs.ts"

Addresses.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
