import * as PipelineContract from "@kafka-once/proof/PipelineContract"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineContract.faults("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
