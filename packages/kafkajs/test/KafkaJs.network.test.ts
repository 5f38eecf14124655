import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as KafkaJs from "../src/KafkaJs.ts"

ProducerContract.networks("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
