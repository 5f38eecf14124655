import * as UnknownOutcomesCluster from "@kafka-once/proof/UnknownOutcomesCluster"
import * as KafkaJs from "../src/KafkaJs.ts"

UnknownOutcomesCluster.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
