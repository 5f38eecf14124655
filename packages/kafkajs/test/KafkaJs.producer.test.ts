import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as KafkaJs from "../src/KafkaJs.ts"

ProducerContract.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
