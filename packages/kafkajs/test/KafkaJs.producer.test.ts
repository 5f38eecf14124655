import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import { fileURLToPath } from "node:url"
import * as KafkaJs from "../src/KafkaJs.ts"

const program = fileURLToPath(new URL("resolveLater.ts", import.meta.url))

ProducerContract.suite("kafkajs", (brokers) => KafkaJs.layer({ brokers }), program)
