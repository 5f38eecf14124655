import * as PipelineCoordinators from "@kafka-once/proof/PipelineCoordinators"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineCoordinators.suite("kafkajs", {
  driver: (brokers) => KafkaJs.layer({ brokers }),
  capabilities: KafkaJs.capabilities
})
