/** platformatic as the wire matrix takes it. */
import type { DriverThrough } from "@kafka-once/proof/wireMatrix/Stage"
import * as Redacted from "effect/Redacted"
import * as Platformatic from "../src/Platformatic.ts"

export const through: DriverThrough = (
  { addresses, clientId, credentials, requestTimeoutMillis }
) =>
  Platformatic.layer({
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
