import * as SecurityTls from "@kafka-once/proof/SecurityTls"
import * as Platformatic from "../src/Platformatic.ts"

SecurityTls.suite("platformatic", Platformatic.layer)
