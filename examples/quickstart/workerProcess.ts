/**
 * A worker as a process of its own: started, listened to, killed, and gone with its scope.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import type { Job, Report } from "./worker.ts"

/** What comes from a worker: its reports, and last how it ended. */
export type Message =
  | Report
  | { readonly _tag: "Exited"; readonly code: number | null; readonly signal: string | null }

/** A running worker. */
export interface Worker {
  readonly next: Effect.Effect<Message>
  readonly kill: Effect.Effect<void>
}

const file = new URL("worker.ts", import.meta.url)

const start = (job: Job, messages: Queue.Queue<Message>): ChildProcess => {
  const child = fork(file, {
    execArgv: ["--conditions=@kafka-once/source"],
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })
  child.on("message", (message) => Queue.offerUnsafe(messages, message as Report))
  child.on("exit", (code, signal) => Queue.offerUnsafe(messages, { _tag: "Exited", code, signal }))
  child.send(job)
  return child
}

/** Starts a worker on a job. */
export const make = (job: Job): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.gen(function*() {
    // At most one report a day and a few more, so that the queue is bounded by the job.
    const messages = yield* Queue.unbounded<Message>()
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => start(job, messages)),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    return {
      next: Queue.take(messages),
      kill: Effect.sync(() => {
        child.kill("SIGKILL")
      })
    }
  })
