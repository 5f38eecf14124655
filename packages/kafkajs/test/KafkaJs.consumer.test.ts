import * as ConsumerContract from "@kafka-once/proof/ConsumerContract"
import * as KafkaJs from "../src/KafkaJs.ts"

ConsumerContract.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
