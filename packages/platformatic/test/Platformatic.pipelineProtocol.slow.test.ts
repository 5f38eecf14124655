import * as PipelineContract from "@kafka-once/proof/PipelineContract"
import * as Platformatic from "../src/Platformatic.ts"

PipelineContract.faults("platformatic", (brokers) => Platformatic.layer({ brokers }), {
  groupProtocol: "consumer"
})
