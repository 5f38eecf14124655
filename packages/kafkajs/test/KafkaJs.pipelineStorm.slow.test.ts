import * as PipelineStorm from "@kafka-once/proof/PipelineStorm"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineStorm.suite("kafkajs", {
  driver: (brokers) => KafkaJs.layer({ brokers }),
  kinds: ["dynamic"],
  seconds: 60,
  seed: Number(process.env["KAFKA_ONCE_SEED"] ?? 6)
})
