import * as CursorContract from "@kafka-once/proof/CursorContract"
import * as KafkaJs from "../src/KafkaJs.ts"

CursorContract.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
