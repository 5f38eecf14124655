import * as PipelineCoordinators from "@kafka-once/proof/PipelineCoordinators"
import * as Platformatic from "../src/Platformatic.ts"

PipelineCoordinators.suite("platformatic", {
  driver: (brokers) => Platformatic.layer({ brokers }),
  groupProtocol: "consumer",
  capabilities: Platformatic.capabilities
})
