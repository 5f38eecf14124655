/** All contracts of the driver, for a broker that is not the one they run on by default. */
import * as ConsumerContract from "@kafka-once/proof/ConsumerContract"
import * as DriverContract from "@kafka-once/proof/DriverContract"
import * as PipelineContract from "@kafka-once/proof/PipelineContract"
import * as ProducerContract from "@kafka-once/proof/ProducerContract"
import type * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fileURLToPath } from "node:url"
import * as Platformatic from "../src/Platformatic.ts"

const program = fileURLToPath(new URL("resolveLater.ts", import.meta.url))
const driver = (brokers: ReadonlyArray<string>) => Platformatic.layer({ brokers })

/** `transactionVersion` is that of the broker. */
export const suite = (
  name: string,
  broker: EmbeddedKafka.Options,
  transactionVersion: 1 | 2
): void => {
  DriverContract.suite(
    name,
    Layer.unwrap(Effect.map(DriverContract.Brokers, ({ addresses }) => driver(addresses))),
    // At version 2 records and offsets register what they are for.
    { broker, neverSends: transactionVersion === 2 ? ["AddOffsetsToTxn"] : [] }
  )
  ProducerContract.suite(name, driver, program, {
    broker,
    registersBy: transactionVersion === 2 ? "Produce" : "AddPartitionsToTxn"
  })
  ConsumerContract.suite(name, driver, { broker })
  PipelineContract.suite(name, driver, { broker })
}
