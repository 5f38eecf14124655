import * as SessionReplacements from "@kafka-once/proof/SessionReplacements"
import * as Platformatic from "../src/Platformatic.ts"

SessionReplacements.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), {
  transactionVersion: 2,
  restarts: false
})
