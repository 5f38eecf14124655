import * as AccessRights from "@kafka-once/proof/AccessRights"
import * as Redacted from "effect/Redacted"
import * as KafkaJs from "../src/KafkaJs.ts"

AccessRights.suite("kafkajs", (brokers, username, password) =>
  KafkaJs.layer({
    brokers,
    sasl: { mechanism: "scram-sha-512", username, password: Redacted.make(password) }
  }))
