import * as SecurityToken from "@kafka-once/proof/SecurityToken"
import * as Platformatic from "../src/Platformatic.ts"

SecurityToken.suite("platformatic", Platformatic.layer)
