import * as PipelineFaults from "@kafka-once/proof/PipelineFaults"
import { fileURLToPath } from "node:url"
import * as Platformatic from "../src/Platformatic.ts"

PipelineFaults.suite("platformatic", {
  program: fileURLToPath(new URL("Platformatic.pipelineProgram.ts", import.meta.url)),
  driver: (brokers) => Platformatic.layer({ brokers }),
  extent: "membership",
  groupProtocol: "consumer",
  capabilities: Platformatic.capabilities
})
