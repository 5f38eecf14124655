/** Everything again on a cluster that has agreed on version 1 of the transaction protocol. */
import * as Contracts from "./contracts.ts"

const broker = { features: { "transaction.version": 1 } }

Contracts.suite("platformatic at version 1", broker, 1)
