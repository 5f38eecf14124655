import * as Security from "@kafka-once/proof/Security"
import * as KafkaJs from "../src/KafkaJs.ts"

Security.suite("kafkajs", KafkaJs.layer, [
  "AddPartitionsToTxn: 29",
  "AddPartitionsToTxn: 29",
  "Metadata: 29",
  "AddOffsetsToTxn: 30"
])
