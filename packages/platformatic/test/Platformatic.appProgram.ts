// The program that the tests of application faults kill, freeze and end.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as AppProgram from "@kafka-once/proof/AppProgram"
import * as Platformatic from "../src/Platformatic.ts"

AppProgram.run((brokers) => Platformatic.layer({ brokers })).pipe(NodeRuntime.runMain)
