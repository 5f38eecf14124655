import * as BadInput from "@kafka-once/proof/BadInput"
import * as Redacted from "effect/Redacted"
import * as KafkaJs from "../src/KafkaJs.ts"

BadInput.suite("kafkajs", ({ brokers, user }) =>
  KafkaJs.layer({
    brokers,
    ...(user === undefined ? {} : {
      insecure: true,
      sasl: {
        mechanism: "plain",
        username: user.name,
        password: Redacted.make(user.password)
      }
    })
  }))
