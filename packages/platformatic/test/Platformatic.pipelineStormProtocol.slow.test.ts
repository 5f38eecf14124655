import * as PipelineStorm from "@kafka-once/proof/PipelineStorm"
import * as Platformatic from "../src/Platformatic.ts"

PipelineStorm.suite("platformatic", {
  driver: (brokers) => Platformatic.layer({ brokers }),
  groupProtocol: "consumer",
  kinds: ["dynamic", "static"],
  seconds: 60,
  seed: Number(process.env["KAFKA_ONCE_SEED"] ?? 6)
})
