import * as SecurityToken from "@kafka-once/proof/SecurityToken"
import * as KafkaJs from "../src/KafkaJs.ts"

SecurityToken.suite("kafkajs", KafkaJs.layer)
