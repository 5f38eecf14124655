import * as BrokerFaults from "@kafka-once/proof/BrokerFaults"
import * as Platformatic from "../src/Platformatic.ts"

BrokerFaults.suite("platformatic", (brokers) => Platformatic.layer({ brokers }))
