/** Twenty cells a day; all of them are in the slow test. KAFKA_ONCE_SEED repeats a day. */
import * as ConsumerMatrix from "@kafka-once/proof/ConsumerMatrix"
import * as WireMatrix from "@kafka-once/proof/WireMatrix"
import { through } from "./wireMatrix.ts"

const today = Number(new Date().toISOString().slice(0, 10).replaceAll("-", ""))
const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? today)

WireMatrix.suite(
  `the wire matrix over platformatic, 20 cases of seed ${seed}`,
  "platformatic",
  through,
  WireMatrix.sample(WireMatrix.casesOver("platformatic"), seed, 20)
)

ConsumerMatrix.suite(
  `the wire matrix of consumers over platformatic, 20 cases of seed ${seed}`,
  through,
  WireMatrix.sample(ConsumerMatrix.casesOver("platformatic"), seed, 20)
)
