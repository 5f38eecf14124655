import * as Security from "@kafka-once/proof/Security"
import * as Platformatic from "../src/Platformatic.ts"

Security.suite("platformatic", Platformatic.layer, [
  "ok",
  "Produce: 29",
  "Metadata: 29",
  "FindCoordinator: 30"
])
