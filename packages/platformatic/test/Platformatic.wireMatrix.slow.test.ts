import * as WireMatrix from "@kafka-once/proof/WireMatrix"
import { through } from "./wireMatrix.ts"

WireMatrix.suite(
  "the wire matrix over platformatic",
  "platformatic",
  through,
  WireMatrix.casesOver("platformatic")
)
