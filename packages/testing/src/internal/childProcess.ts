/**
 * Runs a program to its end. The one place, beside `brokerProcess.ts`, that starts processes.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"

const outputLimit = 200_000

/** How a program ended. `failure` is set, and `code` null, when it could not be started. */
export interface Finished {
  readonly code: number | null
  readonly failure: string | null
  readonly output: string
  readonly errors: string
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>
  readonly directory?: string
  readonly input?: string
  readonly onLine?: (line: string) => void
}

/**
 * Never fails: the caller reads `code`. The program is killed when the effect is interrupted.
 * Only the last part of a long output is kept; `onLine` sees each whole line of it.
 */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: RunOptions = {}
): Effect.Effect<Finished> =>
  Effect.callback<Finished>((resume) => {
    const child = spawn(command, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.environment },
      ...(options.directory === undefined ? {} : { cwd: options.directory })
    })
    // A program that ends without reading its input is judged by how it ended.
    child.stdin.on("error", () => {})
    child.stdin.end(options.input ?? "")
    let output = ""
    let errors = ""
    let line = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-outputLimit)
      if (options.onLine !== undefined) {
        const lines = (line + text).split("\n")
        line = (lines.pop() ?? "").slice(-outputLimit)
        lines.forEach(options.onLine)
      }
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-outputLimit)
    })
    child.on("error", (error) => {
      resume(Effect.succeed({ code: null, failure: error.message, output, errors }))
    })
    child.on("close", (code, signal) => {
      const failure = code === null ? `ended by ${signal}` : null
      resume(Effect.succeed({ code, failure, output, errors }))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })
