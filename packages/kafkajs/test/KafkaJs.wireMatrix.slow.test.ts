import * as WireMatrix from "@kafka-once/proof/WireMatrix"
import { through } from "./wireMatrix.ts"

WireMatrix.suite(
  "the wire matrix over kafkajs",
  "kafkajs",
  through,
  WireMatrix.casesOver("kafkajs")
)
