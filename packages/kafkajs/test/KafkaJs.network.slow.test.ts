import * as NetworkPartitions from "@kafka-once/proof/NetworkPartitions"
import * as KafkaJs from "../src/KafkaJs.ts"

NetworkPartitions.slowSuite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
