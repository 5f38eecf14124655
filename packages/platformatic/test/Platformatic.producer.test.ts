import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import { fileURLToPath } from "node:url"
import * as Platformatic from "../src/Platformatic.ts"

const program = fileURLToPath(new URL("resolveLater.ts", import.meta.url))

ProducerContract.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), program, {
  registersBy: "Produce"
})
