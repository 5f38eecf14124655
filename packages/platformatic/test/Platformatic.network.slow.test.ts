import * as NetworkPartitions from "@kafka-once/proof/NetworkPartitions"
import * as Platformatic from "../src/Platformatic.ts"

const driver = (brokers: ReadonlyArray<string>) => Platformatic.layer({ brokers })

NetworkPartitions.suite("platformatic", driver)
NetworkPartitions.slowSuite("platformatic", driver)
