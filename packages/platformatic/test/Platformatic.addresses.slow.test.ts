import * as Addresses from "@kafka-once/proof/Addresses"
import * as Platformatic from "../src/Platformatic.ts"

Addresses.suite("platformatic", (brokers) => Platformatic.layer({ brokers }))
