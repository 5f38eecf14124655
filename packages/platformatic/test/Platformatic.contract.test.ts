import * as DriverContract from "@kafka-once/proof/DriverContract"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Platformatic from "../src/Platformatic.ts"

DriverContract.suite(
  "platformatic",
  Layer.unwrap(
    Effect.map(
      DriverContract.Brokers,
      ({ addresses }) => Platformatic.layer({ brokers: addresses })
    )
  ),
  // The broker speaks version 2 of the transaction protocol, where offsets register their group.
  { neverSends: ["AddOffsetsToTxn"] }
)
