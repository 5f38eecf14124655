import * as ConsumerMatrix from "@kafka-once/proof/ConsumerMatrix"
import { through } from "./wireMatrix.ts"

ConsumerMatrix.suite(
  "the wire matrix of consumers over kafkajs",
  through,
  ConsumerMatrix.casesOver("kafkajs")
)
