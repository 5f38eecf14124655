import * as ConsumerContract from "@kafka-once/proof/ConsumerContract"
import * as Platformatic from "../src/Platformatic.ts"

ConsumerContract.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), {
  groupProtocol: "consumer"
})
