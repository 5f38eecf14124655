import * as UnknownOutcomes from "@kafka-once/proof/UnknownOutcomes"
import * as KafkaJs from "../src/KafkaJs.ts"

UnknownOutcomes.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
