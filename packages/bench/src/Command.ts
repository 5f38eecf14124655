/**
 * A command that is run to its end: what it said if it failed, and ended with its caller.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"

const toldCharacters = 2_000

/**
 * Runs it. The error of one that fails ends with the first of what it has said: what a compiler or
 * Maven says later follows from that.
 */
export const run = (command: string, args: ReadonlyArray<string>): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] })
    let said = ""
    for (const output of [child.stdout, child.stderr]) {
      output.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(0, toldCharacters)
      })
    }
    const fail = (problem: string) => resume(Effect.fail(new Error(`${command} ${problem}`)))
    child.once("error", ({ message }) => fail(`cannot be run: ${message}`))
    child.once(
      "close",
      (code, signal) =>
        code === 0 ? resume(Effect.void) : fail(`ended with ${signal ?? code}:\n${said.trim()}`)
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
