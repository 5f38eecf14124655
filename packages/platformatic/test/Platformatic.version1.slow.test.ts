/** Everything again on a cluster that has agreed on version 1 of the transaction protocol. */
import * as DriverContract from "@kafka-once/proof/DriverContract"
import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fileURLToPath } from "node:url"
import * as Platformatic from "../src/Platformatic.ts"

const program = fileURLToPath(new URL("resolveLater.ts", import.meta.url))
const broker = { features: { "transaction.version": 1 } }
const driver = (brokers: ReadonlyArray<string>) => Platformatic.layer({ brokers })

DriverContract.suite(
  "platformatic at version 1",
  Layer.unwrap(Effect.map(DriverContract.Brokers, ({ addresses }) => driver(addresses))),
  { broker }
)

ProducerContract.suite("platformatic at version 1", driver, program, { broker })
