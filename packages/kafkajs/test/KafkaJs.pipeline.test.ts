import * as PipelineContract from "@kafka-once/proof/PipelineContract"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineContract.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
