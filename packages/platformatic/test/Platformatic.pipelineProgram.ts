// The pipeline that the tests of its faults kill, freeze and block.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PipelineProgram from "@kafka-once/proof/PipelineProgram"
import * as Platformatic from "../src/Platformatic.ts"

PipelineProgram.run((brokers) => Platformatic.layer({ brokers })).pipe(NodeRuntime.runMain)
