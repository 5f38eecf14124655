/** A program of Kafka's own client: one source file, run on the broker's jars. */
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/** It has ended, or told nothing for too long. */
export class JavaProgramError extends Data.TaggedError("JavaProgramError")<{
  readonly message: string
}> {}

export interface JavaProgram {
  readonly write: (line: string) => Effect.Effect<void>
  /** The next line that it prints. */
  readonly next: Effect.Effect<string, JavaProgramError>
}

const limit = "60 seconds"

/** Starts it on the broker in context; it ends with the scope. */
export const start = Effect.fnUntraced(function*(mode: string, ...args: ReadonlyArray<string>) {
  const { bootstrapServers, classPath } = yield* EmbeddedKafka
  const home = process.env["JAVA_HOME"]
  const command = home === undefined || home === "" ? "java" : join(home, "bin", "java")
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(command, [
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
        "-cp",
        classPath,
        fileURLToPath(new URL("../../java/Interoperability.java", import.meta.url)),
        mode,
        bootstrapServers.join(","),
        ...args
      ], { stdio: ["pipe", "pipe", "inherit"] })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const lines = yield* Queue.unbounded<string, JavaProgramError>()
  const over = (message: string) =>
    Queue.failCauseUnsafe(lines, Cause.fail(new JavaProgramError({ message })))
  child.once("error", ({ message }) => over(message))
  // Not at its exit, when lines may still be on their way.
  child.once("close", (code, signal) => over(`Java ended: ${signal ?? code}`))
  child.stdin.on("error", () => {})
  createInterface({ input: child.stdout }).on("line", (line) => Queue.offerUnsafe(lines, line))
  const program: JavaProgram = {
    write: (line) => Effect.sync(() => void child.stdin.write(`${line}\n`)),
    next: Effect.timeoutOrElse(Queue.take(lines), {
      duration: limit,
      orElse: () =>
        Effect.fail(new JavaProgramError({ message: `Java told nothing within ${limit}` }))
    })
  }
  return program
})
