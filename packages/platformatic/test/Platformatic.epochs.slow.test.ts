import * as EpochExhaustion from "@kafka-once/proof/EpochExhaustion"
import * as Platformatic from "../src/Platformatic.ts"

for (const transactionVersion of [1, 2] as const) {
  EpochExhaustion.suite(
    `platformatic at version ${transactionVersion}`,
    (brokers) => Platformatic.layer({ brokers }),
    { transactionVersion, epochBump: Platformatic.capabilities.epochBump }
  )
}
