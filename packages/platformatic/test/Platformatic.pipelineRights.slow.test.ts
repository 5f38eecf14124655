import * as PipelineRefusals from "@kafka-once/proof/PipelineRefusals"
import * as Platformatic from "../src/Platformatic.ts"

PipelineRefusals.rights("platformatic", (brokers) => Platformatic.layer({ brokers }))
