import * as NetworkPartitions from "@kafka-once/proof/NetworkPartitions"
import * as KafkaJs from "../src/KafkaJs.ts"

NetworkPartitions.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
