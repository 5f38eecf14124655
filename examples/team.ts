/**
 * Worker processes of one program: started, told things, listened to, killed, and gone with the
 * scope. The other end of the channel is `teamMember.ts`.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"

/** A worker that ended by itself, or an event that did not come. */
export class TeamFailed extends Data.TaggedError("TeamFailed")<{ readonly problem: string }> {
  override get message(): string {
    return this.problem
  }
}

/** A worker process. */
export interface Member<Order> {
  readonly tell: (order: Order) => Effect.Effect<void>
  /** SIGKILL; waits until the process is gone. */
  readonly kill: Effect.Effect<void, TeamFailed>
  /** Closes the channel, on which a worker drains and ends; waits until it has, in order. */
  readonly dismiss: Effect.Effect<void, TeamFailed>
}

/** All workers of one program. */
export interface Team<Job, Order> {
  readonly start: (name: string, job: Job) => Effect.Effect<Member<Order>, never, Scope.Scope>
  /**
   * Waits until something is so, looking whenever a worker has told something. Fails when a worker
   * ends that nobody has killed or dismissed, and after a minute.
   */
  readonly until: (what: string, isSo: () => boolean) => Effect.Effect<void, TeamFailed>
  /** Never succeeds; fails when a worker ends that nobody has killed or dismissed. */
  readonly broken: Effect.Effect<never, TeamFailed>
}

/** How long anything that is waited for may take; far above what a busy machine needs. */
const limit = "1 minute"

/** Makes a team of processes that run `file`. */
export const make = <Job, Order, Report>(
  file: URL,
  onReport: (name: string, report: Report) => void
): Team<Job, Order> => {
  const looks = new Set<() => void>()
  let failure: TeamFailed | null = null
  const look = () => {
    for (const one of looks) one()
  }
  const watch = (isSo: () => boolean) =>
    Effect.callback<void, TeamFailed>((resume) => {
      const one = () => {
        if (failure === null && !isSo()) return
        looks.delete(one)
        resume(failure === null ? Effect.void : Effect.fail(failure))
      }
      looks.add(one)
      one()
      return Effect.sync(() => looks.delete(one))
    })
  const until = (what: string, isSo: () => boolean) =>
    watch(isSo).pipe(
      Effect.timeoutOrElse({
        duration: limit,
        orElse: () => Effect.fail(new TeamFailed({ problem: `Waited ${limit} for ${what}.` }))
      })
    )

  const start = (name: string, job: Job) =>
    Effect.gen(function*() {
      let isFree = false
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const child = run(file)
          child.on("message", (report) => {
            onReport(name, report as Report)
            look()
          })
          child.on("exit", (code, signal) => {
            if (!isFree) {
              const problem = `The worker ${name} ended with ${signal ?? `code ${code}`}.`
              failure ??= new TeamFailed({ problem })
            }
            look()
          })
          child.send(job as object)
          return child
        }),
        (child) => {
          isFree = true
          return gone(child, "SIGKILL")
        }
      )
      const hasEnded = () => child.exitCode !== null || child.signalCode !== null
      const member: Member<Order> = {
        // A worker that has just died is told nothing, and its exit tells the rest.
        tell: (order) => Effect.sync(() => child.connected && child.send(order as object)),
        kill: Effect.suspend(() => {
          isFree = true
          child.kill("SIGKILL")
          return until(`the end of the worker ${name}`, hasEnded)
        }),
        dismiss: Effect.suspend(() => {
          isFree = true
          if (child.connected) child.disconnect()
          return until(`the worker ${name} to drain`, hasEnded)
        }).pipe(
          Effect.andThen(Effect.suspend(() =>
            child.exitCode === 0 ? Effect.void : Effect.fail(
              new TeamFailed({ problem: `The worker ${name} drained with ${child.exitCode}.` })
            )
          ))
        )
      }
      return member
    })
  return {
    start,
    until,
    broken: Effect.andThen(watch(() => false), Effect.never)
  }
}

const run = (file: URL): ChildProcess =>
  fork(file, {
    execArgv: ["--conditions=@kafka-once/source"],
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })

const gone = (child: ChildProcess, signal: NodeJS.Signals) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill(signal)
  })
