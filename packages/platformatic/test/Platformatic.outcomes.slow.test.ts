import * as UnknownOutcomes from "@kafka-once/proof/UnknownOutcomes"
import * as Platformatic from "../src/Platformatic.ts"

UnknownOutcomes.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), {
  offsetsAlone: true
})
