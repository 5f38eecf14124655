import * as PipelineRefusals from "@kafka-once/proof/PipelineRefusals"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineRefusals.rights("kafkajs", (brokers) => KafkaJs.layer({ brokers }))
