import * as PipelineChanges from "@kafka-once/proof/PipelineChanges"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineChanges.suite("kafkajs", {
  driver: (brokers) => KafkaJs.layer({ brokers }),
  seed: Number(process.env["KAFKA_ONCE_SEED"] ?? 6)
})
