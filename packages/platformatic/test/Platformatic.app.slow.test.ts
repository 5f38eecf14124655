import * as AppFaults from "@kafka-once/proof/AppFaults"
import { fileURLToPath } from "node:url"
import { capabilities } from "../src/Platformatic.ts"

const program = fileURLToPath(new URL("Platformatic.appProgram.ts", import.meta.url))

AppFaults.suite("platformatic", { program, extent: "all", capabilities })
