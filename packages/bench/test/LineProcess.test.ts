import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as LineProcess from "../src/LineProcess.ts"

/** A contender that says something of its own, and answers with the line that it is given. */
const contender = (onLine: string) =>
  LineProcess.start(process.execPath, [
    "-e",
    `console.log("a notice"); console.log("ready")
    require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
      console.log("a notice"); ${onLine}
    })`
  ])

const exact = (wanted: string) => (line: string) => line === wanted || null

describe("a contender's process", () => {
  it.live("answers one line after the other, whatever else it says", () =>
    Effect.scoped(Effect.gen(function*() {
      const process = yield* contender("console.log(line)")
      yield* process.ask("one", exact("one"))
      yield* process.ask("two", exact("two"))
    })))

  it.live("that ends in the middle of a job is told, and not waited for", () =>
    Effect.scoped(Effect.gen(function*() {
      const process = yield* contender("process.exit(7)")
      const exit = yield* Effect.exit(process.ask("one", exact("one")))
      assert.deepStrictEqual(exit, Exit.fail(new Error("a contender ended: 7")))
    })))

  it.live("that cannot be started is told", () =>
    Effect.scoped(Effect.gen(function*() {
      const error = yield* Effect.flip(LineProcess.start("/no/such/contender", []))
      assert.include(error.message, "ENOENT")
    })))

  it.live("is gone with its scope, in the middle of a job, too", () =>
    Effect.gen(function*() {
      const pid = yield* Effect.scoped(Effect.gen(function*() {
        const process = yield* contender("console.log(globalThis.process.pid)")
        return yield* process.ask("pid", (line) => Number(line) || null)
      }))
      // A signal that tests for it: the kernel has let go of one that was killed, or is about to.
      while (isAlive(pid)) yield* Effect.yieldNow
    }))

  it.live("ends by itself with whoever gives the jobs, in the middle of one, too", () =>
    Effect.gen(function*() {
      const program = fileURLToPath(new URL("../src/PipelineProgram.ts", import.meta.url))
      const options = ["--conditions=@kafka-once/source", program, "raw-kafkajs", "127.0.0.1:1"]
      const child = spawn(process.execPath, options, { stdio: ["pipe", "pipe", "ignore"] })
      const ended = once(child, "exit")
      const [ready] = yield* Effect.promise(() => once(child.stdout, "data"))
      assert.strictEqual(String(ready), "ready\n")
      // No broker is there: the run would try again and again.
      child.stdin.end("group input output 1 1\n")
      assert.deepStrictEqual(yield* Effect.promise(() => ended), [0, null])
    }))
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
