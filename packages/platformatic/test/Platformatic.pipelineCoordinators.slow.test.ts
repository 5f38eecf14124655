import * as PipelineCoordinators from "@kafka-once/proof/PipelineCoordinators"
import * as Platformatic from "../src/Platformatic.ts"

PipelineCoordinators.suite("platformatic", {
  driver: (brokers) => Platformatic.layer({ brokers }),
  capabilities: Platformatic.capabilities
})
