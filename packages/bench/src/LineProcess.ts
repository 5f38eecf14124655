/**
 * A contender's process: started, told what to do by lines, and gone with its scope. Its memory and
 * its processor time are its own.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/** A process that works off one line after the other. */
export interface LineProcess {
  /** Writes a line, and answers with the first one that `read` takes. */
  readonly ask: <A>(line: string, read: (answer: string) => A | null) => Effect.Effect<A, Error>
}

/** A program of this folder, run by this Node. */
export const node = (
  file: string,
  args: ReadonlyArray<string>
): Effect.Effect<LineProcess, Error, Scope.Scope> =>
  start(process.execPath, [
    ...process.execArgv,
    fileURLToPath(new URL(file, import.meta.url)),
    ...args
  ])

/**
 * The same as users run it: compiled, and with flags of its own. Node's own stripping of types
 * would be 27 MB of its memory. {@link compile} comes first.
 */
export const compiled = (
  file: string,
  args: ReadonlyArray<string>,
  nodeFlags: ReadonlyArray<string>
): Effect.Effect<LineProcess, Error, Scope.Scope> =>
  start(process.execPath, [
    ...nodeFlags,
    fileURLToPath(new URL(`../dist/${file.replace(/\.ts$/, ".js")}`, import.meta.url)),
    ...args
  ])

/** Compiles this package and what it imports, as far as it is not compiled yet. */
export const compile: Effect.Effect<void, Error> = Effect.callback((resume) => {
  const tsc = fileURLToPath(new URL("../../../node_modules/.bin/tsc", import.meta.url))
  const project = fileURLToPath(new URL("../tsconfig.src.json", import.meta.url))
  const child = spawn(tsc, ["-b", project], { stdio: ["ignore", "inherit", "inherit"] })
  child.once("error", (error) => resume(Effect.fail(error)))
  child.once(
    "exit",
    (code, signal) =>
      resume(code === 0 ? Effect.void : Effect.fail(new Error(`tsc ended with ${signal ?? code}`)))
  )
  return Effect.sync(() => child.kill())
})

/** A Java program of one file, run from source on the broker's jars. */
export const java = (
  file: string,
  classPath: string,
  brokers: ReadonlyArray<string>
): Effect.Effect<LineProcess, Error, Scope.Scope> => {
  const home = process.env["JAVA_HOME"]
  return start(home === undefined || home === "" ? "java" : join(home, "bin", "java"), [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    "-cp",
    classPath,
    fileURLToPath(new URL(`../java/${file}`, import.meta.url)),
    brokers.join(",")
  ])
}

const limit = "20 minutes"

const start = (
  command: string,
  args: ReadonlyArray<string>
): Effect.Effect<LineProcess, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const lines = yield* linesOf(child)
    const process: LineProcess = {
      ask: (line, read) =>
        Effect.suspend(() => {
          child.stdin?.write(`${line}\n`)
          return awaitAnswer(lines, read)
        }).pipe(
          Effect.timeoutOrElse({
            duration: limit,
            orElse: () => Effect.fail(new Error(`no answer to "${line}" within ${limit}`))
          })
        )
    }
    yield* awaitAnswer(lines, (line) => line === "ready" ? true : null)
    return process
  })

const linesOf = (child: ChildProcess): Effect.Effect<Queue.Dequeue<string, Error>> =>
  Effect.map(Queue.unbounded<string, Error>(), (lines) => {
    const over = (error: Error) => Queue.failCauseUnsafe(lines, Cause.fail(error))
    child.once("error", over)
    child.once("exit", (code, signal) => over(new Error(`a contender ended: ${signal ?? code}`)))
    createInterface({ input: child.stdout! }).on("line", (line) => Queue.offerUnsafe(lines, line))
    return lines
  })

const awaitAnswer = <A>(
  lines: Queue.Dequeue<string, Error>,
  read: (line: string) => A | null
): Effect.Effect<A, Error> =>
  Effect.flatMap(Queue.take(lines), (line) => {
    const answer = read(line)
    return answer === null ? awaitAnswer(lines, read) : Effect.succeed(answer)
  })
