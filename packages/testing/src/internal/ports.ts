/**
 * Chooses ports of 127.0.0.1 that nobody listens on.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { createServer } from "node:net"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"

// Below the range that Linux and macOS take the local end of outgoing connections from. A broker
// that restarts needs its old port, and in that range a client that reconnects all the time would
// take it sooner or later, even by connecting to itself.
const lowest = 10_240
const highest = 32_767
const attempts = 200

/** Whether one can listen there now; another process may still be faster. */
export const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const server = createServer()
    server.on("error", () => resume(Effect.succeed(false)))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      server.close(() => resume(Effect.succeed(true)))
    })
  })

export const choose = Effect.fnUntraced(function*(count: number) {
  const chosen = new Set<number>()
  for (let attempt = 0; attempt < attempts && chosen.size < count; attempt++) {
    const port = yield* Random.nextIntBetween(lowest, highest)
    if (!chosen.has(port) && (yield* isFree(port))) {
      chosen.add(port)
    }
  }
  if (chosen.size < count) {
    return yield* EmbeddedKafkaError.make(
      new EmbeddedKafkaError.MachineFailed({
        step: "choosing free ports",
        detail: `${attempts} ports between ${lowest} and ${highest} were tried`
      })
    )
  }
  return Array.from(chosen)
})
