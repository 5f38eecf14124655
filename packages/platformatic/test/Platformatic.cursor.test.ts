import * as CursorContract from "@kafka-once/proof/CursorContract"
import * as Platformatic from "../src/Platformatic.ts"

CursorContract.suite("platformatic", (brokers) => Platformatic.layer({ brokers }))
