import * as BadInput from "@kafka-once/proof/BadInput"
import * as Redacted from "effect/Redacted"
import * as Platformatic from "../src/Platformatic.ts"

BadInput.suite("platformatic", ({ brokers, user }) =>
  Platformatic.layer({
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
