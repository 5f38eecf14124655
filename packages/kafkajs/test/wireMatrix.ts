/** kafkajs as the wire matrix takes it. */
import type { DriverThrough } from "@kafka-once/proof/wireMatrix/Stage"
import * as Redacted from "effect/Redacted"
import * as KafkaJs from "../src/KafkaJs.ts"

export const through: DriverThrough = (
  { addresses, clientId, credentials, requestTimeoutMillis }
) =>
  KafkaJs.layer({
    brokers: addresses,
    clientId,
    requestTimeout: requestTimeoutMillis,
    authenticationTimeout: requestTimeoutMillis,
    ...(credentials === null ? {} : {
      sasl: {
        mechanism: "plain",
        username: credentials.username,
        password: Redacted.make(credentials.password)
      },
      insecure: true
    })
  })
