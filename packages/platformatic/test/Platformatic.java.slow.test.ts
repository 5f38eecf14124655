import * as Interoperability from "@kafka-once/proof/Interoperability"
import * as Platformatic from "../src/Platformatic.ts"

Interoperability.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), [
  "classic",
  "consumer"
])
