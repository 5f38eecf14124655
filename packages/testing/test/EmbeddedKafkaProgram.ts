// A program that owns a broker, for the test that ends such programs in every way.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { dirname } from "node:path"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"

Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.make()
  const port = kafka.bootstrapServers[0]?.split(":")[1]
  process.stdout.write(`${JSON.stringify({ directory: dirname(kafka.logFile), port })}\n`)
  return yield* Effect.never
}).pipe(Effect.scoped, NodeRuntime.runMain)
