// A program that owns as many nodes as it is told, for the test that ends such programs in every
// way.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { dirname } from "node:path"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"

Effect.gen(function*() {
  const { nodes } = yield* EmbeddedKafka.make({ nodes: Number(process.argv[2] ?? 1) })
  const ports = nodes.map(({ address }) => Number(address.split(":")[1]))
  const directory = dirname(nodes[0]?.logFile ?? "")
  process.stdout.write(`${JSON.stringify({ directory, ports })}\n`)
  return yield* Effect.never
}).pipe(Effect.scoped, NodeRuntime.runMain)
