import * as PipelineFaults from "@kafka-once/proof/PipelineFaults"
import { fileURLToPath } from "node:url"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineFaults.suite("kafkajs", {
  program: fileURLToPath(new URL("KafkaJs.pipelineProgram.ts", import.meta.url)),
  driver: (brokers) => KafkaJs.layer({ brokers }),
  extent: "smoke",
  capabilities: KafkaJs.capabilities
})
