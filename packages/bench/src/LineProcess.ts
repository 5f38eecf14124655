/**
 * A contender's process: started, told what to do by lines, and gone with its scope. Its memory and
 * its processor time are its own.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Command from "./Command.ts"
import * as JavaProgram from "./JavaProgram.ts"

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
export const compile: Effect.Effect<void, Error> = Effect.suspend(() =>
  Command.run(fileURLToPath(new URL("../../../node_modules/.bin/tsc", import.meta.url)), [
    "-b",
    fileURLToPath(new URL("../tsconfig.src.json", import.meta.url))
  ])
)

/** A Java program by its class, on the jars of a class path. */
export const java = (
  name: string,
  classPath: string,
  args: ReadonlyArray<string>
): Effect.Effect<LineProcess, Error, Scope.Scope> =>
  Effect.flatMap(
    JavaProgram.compile(name, classPath),
    (program) => start(program.command, [...program.args, ...args])
  )

const limit = "20 minutes"

/** Any command that says "ready" and answers lines. */
export const start = (
  command: string,
  args: ReadonlyArray<string>
): Effect.Effect<LineProcess, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        // A group of its own: the interrupt of a terminal is for the bench, which ends it.
        spawn(command, args, { detached: true, stdio: ["pipe", "pipe", "inherit"] })
      ),
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
