import * as EpochExhaustion from "@kafka-once/proof/EpochExhaustion"
import * as KafkaJs from "../src/KafkaJs.ts"

EpochExhaustion.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }), {
  transactionVersion: 2,
  epochBump: KafkaJs.capabilities.epochBump
})
