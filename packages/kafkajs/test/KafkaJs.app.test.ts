import * as AppFaults from "@kafka-once/proof/AppFaults"
import { fileURLToPath } from "node:url"
import { capabilities } from "../src/KafkaJs.ts"

const program = fileURLToPath(new URL("KafkaJs.appProgram.ts", import.meta.url))

AppFaults.suite("kafkajs", { program, extent: "smoke", capabilities })
