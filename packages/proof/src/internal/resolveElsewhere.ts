/** An unknown outcome that is asked for in a process of its own. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"

/** Runs the program until it ends; one that takes too long is killed, and fails. */
export const resolveElsewhere = (
  program: string,
  addresses: ReadonlyArray<string>,
  error: string
): Effect.Effect<string, Error> =>
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
