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
        orElse: () =>
          Effect.fail(new TeamFailed({ problem: `${what} did not come within ${limit}.` }))
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
          send(child, job)
          return child
        }),
        (child) => {
          isFree = true
          return gone(child, "SIGKILL")
        }
      )
      /** Lets the worker end, and fails when it did not end as it should. */
      const end = (what: string, how: () => unknown, isAsItShould: () => boolean) =>
        Effect.suspend(() => {
          isFree = true
          how()
          return until(what, () => child.exitCode !== null || child.signalCode !== null)
        }).pipe(
          Effect.andThen(Effect.suspend(() => {
            if (isAsItShould()) return Effect.void
            const problem = `${what} was with ${child.signalCode ?? `code ${child.exitCode}`}.`
            return Effect.fail(new TeamFailed({ problem }))
          }))
        )
      const member: Member<Order> = {
        tell: (order) => Effect.sync(() => send(child, order)),
        kill: end(
          `The death of the worker ${name}`,
          () => child.kill("SIGKILL"),
          () => child.signalCode === "SIGKILL"
        ),
        dismiss: end(
          `The drain of the worker ${name}`,
          () => child.connected && child.disconnect(),
          () => child.exitCode === 0
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

/** Sends; to a worker that has just died it does nothing, and its exit tells the rest. */
const send = (child: ChildProcess, message: unknown): void => {
  if (child.connected) child.send(message as object, () => {})
}

const gone = (child: ChildProcess, signal: NodeJS.Signals) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill(signal)
  })
