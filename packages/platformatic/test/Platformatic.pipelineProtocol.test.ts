import * as PipelineContract from "@kafka-once/proof/PipelineContract"
import * as Platformatic from "../src/Platformatic.ts"

PipelineContract.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), {
  groupProtocol: "consumer"
})
