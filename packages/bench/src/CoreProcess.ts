/**
 * The process that measures the core: started, listened to, and gone with its caller.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Length } from "./Arguments.ts"
import type { Line } from "./Figure.ts"

const start = (length: Length): ChildProcess =>
  fork(fileURLToPath(new URL("CoreProgram.ts", import.meta.url)), [length], {
    execArgv: [...process.execArgv, "--expose-gc"],
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })

/** Measures the core in a process of its own. */
export const run = (length: Length): Effect.Effect<ReadonlyArray<Line>, Error> =>
  Effect.acquireUseRelease(
    Effect.sync(() => start(length)),
    (child) =>
      Effect.callback<ReadonlyArray<Line>, Error>((resume) => {
        child.once("message", (lines) => resume(Effect.succeed(lines as ReadonlyArray<Line>)))
        child.once("error", (error) => resume(Effect.fail(error)))
        child.once("exit", (code, signal) =>
          resume(Effect.fail(new Error(`the measuring process ended with ${signal ?? code}`))))
      }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
