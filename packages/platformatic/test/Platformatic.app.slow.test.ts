import * as AppFaults from "@kafka-once/proof/AppFaults"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("Platformatic.appProgram.ts", import.meta.url))

AppFaults.suite("platformatic", { program, extent: "all", takesBack: true })
