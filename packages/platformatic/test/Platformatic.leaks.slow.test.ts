/** In a process of its own, for what a process holds is the whole process's. */
import * as Leaks from "@kafka-once/proof/Leaks"
import * as Platformatic from "../src/Platformatic.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? 5)

Leaks.suite("platformatic", (brokers) => Platformatic.layer({ brokers }), {
  scopes: 5_000,
  seed,
  registersBy: "Produce",
  timeoutMillis: 1_200_000
})
