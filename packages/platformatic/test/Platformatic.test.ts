import * as OptionsContract from "@kafka-once/proof/OptionsContract"
import * as Platformatic from "../src/Platformatic.ts"

OptionsContract.suite("platformatic", Platformatic.layer, [
  [{ connectionsPerBroker: 0 }, "connectionsPerBroker", "is 0"],
  [{ connectionsPerBroker: 1.5 }, "connectionsPerBroker", "is 1.5"],
  [{ compression: "brotli" }, "compression", "none, gzip, snappy, lz4, zstd"],
  [{ compression: "toString" }, "compression", '"toString"']
])
