import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as Platformatic from "../src/Platformatic.ts"

ProducerContract.networks("platformatic", (brokers) => Platformatic.layer({ brokers }))
