import * as UnknownOutcomesCluster from "@kafka-once/proof/UnknownOutcomesCluster"
import * as Platformatic from "../src/Platformatic.ts"

UnknownOutcomesCluster.suite("platformatic", (brokers) => Platformatic.layer({ brokers }))
