/** Everything again on the oldest broker of Kafka 4, which speaks version 2. */
import * as Contracts from "./contracts.ts"

Contracts.suite("platformatic on Kafka 4.0", { version: "4.0.1" }, 2)
