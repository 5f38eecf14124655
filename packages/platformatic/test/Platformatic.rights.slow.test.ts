import * as AccessRights from "@kafka-once/proof/AccessRights"
import * as Redacted from "effect/Redacted"
import * as Platformatic from "../src/Platformatic.ts"

AccessRights.suite("platformatic", (brokers, username, password) =>
  Platformatic.layer({
    brokers,
    sasl: { mechanism: "scram-sha-512", username, password: Redacted.make(password) }
  }))
