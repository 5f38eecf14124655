import * as BrokerFaults from "@kafka-once/proof/BrokerFaults"
import * as KafkaJs from "../src/KafkaJs.ts"

BrokerFaults.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
