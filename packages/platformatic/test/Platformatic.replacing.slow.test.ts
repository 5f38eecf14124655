import * as SessionReplacements from "@kafka-once/proof/SessionReplacements"
import * as Platformatic from "../src/Platformatic.ts"

for (const transactionVersion of [1, 2] as const) {
  SessionReplacements.suite(
    `platformatic at version ${transactionVersion}`,
    (brokers) => Platformatic.layer({ brokers }),
    { transactionVersion, restarts: true }
  )
}
