// The pipeline that the tests of its faults kill, freeze and block.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PipelineProgram from "@kafka-once/proof/PipelineProgram"
import * as KafkaJs from "../src/KafkaJs.ts"

PipelineProgram.run((brokers) => KafkaJs.layer({ brokers })).pipe(NodeRuntime.runMain)
