// The program that `npm run soak` runs several of; see `SoakProgram`.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as SoakProgram from "@kafka-once/proof/SoakProgram"

SoakProgram.run({
  kafkajs: (brokers) => KafkaJs.layer({ brokers }),
  platformatic: (brokers) => Platformatic.layer({ brokers })
}).pipe(NodeRuntime.runMain)
