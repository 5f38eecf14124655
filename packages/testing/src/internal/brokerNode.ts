/**
 * The life of one node: started, stopped, killed and started again on the same ports and data.
 */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Semaphore from "effect/Semaphore"
import { copyFile, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import * as BrokerProcess from "./brokerProcess.ts"
import type * as BrokerSettings from "./brokerSettings.ts"
import type * as Control from "./control.ts"
import * as Files from "./files.ts"
import { withLiveClock } from "./liveClock.ts"
import type { Machine } from "./machine.ts"
import * as StartFailure from "./startFailure.ts"

const readyLimit = "60 seconds"

/** What the user asked for, beside what the node is told, and where it writes its log. */
export interface Wishes {
  readonly maximumHeapMegabytes: number
  readonly port: number | null
  readonly logFile: string
}

type Failed = EmbeddedKafkaError.EmbeddedKafkaError

export type Status = "stopped" | "starting" | "running" | "frozen"

export interface BrokerNode {
  readonly start: Effect.Effect<void, Failed>
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly freeze: Effect.Effect<void, Failed>
  readonly thaw: Effect.Effect<void, Failed>
  readonly status: Effect.Effect<Status>
  readonly control: Effect.Effect<Control.Control, Failed>
}

interface Up {
  readonly process: BrokerProcess.BrokerProcess
  readonly controlPort: number
}

type State =
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Starting"; readonly process: BrokerProcess.BrokerProcess }
  | { readonly _tag: "Running" } & Up
  | { readonly _tag: "Frozen" } & Up

const stopped: State = { _tag: "Stopped" }

/** Does not start it yet. It is killed when the scope closes. */
export const make = Effect.fnUntraced(
  function*(settings: BrokerSettings.Settings, machine: Machine, wishes: Wishes) {
    const state = yield* Ref.make<State>(stopped)
    const lock = yield* Semaphore.make(1)
    const settingsFile = join(settings.directory, "settings.json")
    yield* Files.attempt(
      `writing ${settingsFile}`,
      () => writeFile(settingsFile, JSON.stringify(settings), { mode: 0o600 })
    )

    const end = (how: (process: BrokerProcess.BrokerProcess) => Effect.Effect<void>) =>
      Effect.gen(function*() {
        const current = yield* Ref.get(state)
        if (current._tag !== "Stopped") {
          yield* how(current.process)
          yield* Ref.set(state, stopped)
        }
      }).pipe(Effect.uninterruptible, withLiveClock)

    const launch = Effect.gen(function*() {
      const current = yield* Ref.get(state)
      // One that crashed by itself, or that a test killed by its id, is no reason to do nothing.
      if (current._tag !== "Stopped" && !(yield* current.process.isGone)) {
        return
      }
      // Started and remembered in one step: from here on the scope's end finds it.
      const process = yield* BrokerProcess.start(launchOf(machine, wishes, settingsFile)).pipe(
        Effect.tap((process) => Ref.set(state, { _tag: "Starting", process })),
        Effect.uninterruptible
      )
      yield* process.ready.pipe(
        Effect.mapError(describe),
        Effect.timeoutOrElse({
          duration: readyLimit,
          orElse: () => Effect.fail(`it was not ready within ${readyLimit}`)
        }),
        Effect.catch((detail) =>
          Effect.flatMap(failure(machine, wishes, process, detail), Effect.fail)
        ),
        Effect.flatMap((controlPort) => Ref.set(state, { _tag: "Running", process, controlPort })),
        Effect.onError(() => end(BrokerProcess.kill))
      )
    })

    const up = (request: string) =>
      Effect.flatMap(
        Ref.get(state),
        (current) =>
          current._tag === "Running" || current._tag === "Frozen"
            ? Effect.succeed(current)
            : EmbeddedKafkaError.make(
              new EmbeddedKafkaError.RequestRefused({
                request,
                error: "NotRunning",
                detail: "the broker is stopped; start it first"
              })
            )
      )

    const signal = (request: string, name: NodeJS.Signals, next: "Running" | "Frozen") =>
      Effect.gen(function*() {
        const { controlPort, process } = yield* up(request)
        yield* process.signal(name)
        yield* Ref.set(state, { _tag: next, process, controlPort })
      }).pipe(Effect.uninterruptible)

    yield* Effect.addFinalizer(() => end(BrokerProcess.kill))
    return {
      start: withLiveClock(lock.withPermit(launch)),
      stop: lock.withPermit(end(BrokerProcess.stop)),
      kill: lock.withPermit(end(BrokerProcess.kill)),
      freeze: lock.withPermit(signal("a freeze", "SIGSTOP", "Frozen")),
      thaw: lock.withPermit(signal("a thaw", "SIGCONT", "Running")),
      status: Effect.flatMap(Ref.get(state), statusOf),
      control: Effect.map(up("the request"), ({ controlPort }) => ({
        port: controlPort,
        token: settings.token
      }))
    } satisfies BrokerNode
  }
)

const statuses = { Starting: "starting", Running: "running", Frozen: "frozen" } as const

const statusOf = (state: State): Effect.Effect<Status> =>
  state._tag === "Stopped"
    ? Effect.succeed("stopped")
    : Effect.map(state.process.isGone, (gone) => gone ? "stopped" : statuses[state._tag])

const launchOf = (
  machine: Machine,
  wishes: Wishes,
  settingsFile: string
): BrokerProcess.Launch => ({
  java: machine.java,
  classPath: machine.jars.classPath,
  virtualMachine: [
    `-Xmx${wishes.maximumHeapMegabytes}m`,
    // An archive that another Java made is passed over; its warning would be noise.
    ...(machine.jars.archive === null
      ? []
      : [
        `-XX:SharedArchiveFile=${machine.jars.archive}`,
        "-Xlog:disable",
        "-Xlog:all=error:stderr"
      ])
  ],
  settingsFile,
  logFile: wishes.logFile
})

const describe = (exited: BrokerProcess.Exited): string => {
  const how = exited.signal === null ? `code ${exited.code}` : `signal ${exited.signal}`
  return `it ended with ${how} ${exited.output.trim()}`.trim()
}

/** The log is kept for a person to read, since the broker's directory is about to go. */
const failure = Effect.fnUntraced(
  function*(
    machine: Machine,
    wishes: Wishes,
    process: BrokerProcess.BrokerProcess,
    detail: string
  ) {
    const logTail = yield* BrokerProcess.logTail(wishes.logFile, process.logStart)
    const logFile = join(tmpdir(), `${basename(machine.directory)}.${basename(wishes.logFile)}`)
    const reason = StartFailure.classify({
      detail,
      logTail,
      logFile,
      maximumHeapMegabytes: wishes.maximumHeapMegabytes,
      port: wishes.port
    })
    if (reason._tag === "BrokerFailed" || reason._tag === "OutOfMemory") {
      yield* Files.attempt("keeping the log", () => copyFile(wishes.logFile, logFile))
    }
    return EmbeddedKafkaError.make(reason)
  }
)
