import * as PipelineChanges from "@kafka-once/proof/PipelineChanges"
import * as Platformatic from "../src/Platformatic.ts"

PipelineChanges.suite("platformatic", {
  driver: (brokers) => Platformatic.layer({ brokers }),
  groupProtocol: "consumer",
  seed: Number(process.env["KAFKA_ONCE_SEED"] ?? 6)
})
