/** Resolves an unknown outcome in a process of its own. */
import type * as ProducerContract from "@kafka-once/proof/ProducerContract"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("resolveLater.ts", import.meta.url))

/** Runs the program until it ends; one that takes too long is killed, and fails. */
export const resolveElsewhere: ProducerContract.ResolveElsewhere = (addresses, error) =>
  Effect.callback((resume) => {
    const child = execFile(
      process.execPath,
      ["--conditions=@kafka-once/source", program, ...addresses],
      { timeout: 30_000, killSignal: "SIGKILL" },
      (failure, output) => resume(failure === null ? Effect.succeed(output) : Effect.fail(failure))
    )
    child.stdin?.end(error)
    return Effect.sync(() => child.kill("SIGKILL"))
  })
