import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as Platformatic from "../src/Platformatic.ts"
import { resolveElsewhere } from "./resolveElsewhere.ts"

ProducerContract.suite(
  "platformatic",
  (brokers) => Platformatic.layer({ brokers }),
  resolveElsewhere,
  { registersBy: "Produce" }
)
