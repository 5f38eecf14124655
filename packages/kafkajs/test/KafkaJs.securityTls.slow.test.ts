import * as SecurityTls from "@kafka-once/proof/SecurityTls"
import * as KafkaJs from "../src/KafkaJs.ts"

SecurityTls.suite("kafkajs", KafkaJs.layer)
