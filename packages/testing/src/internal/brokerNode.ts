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

/** What the user asked for, beside what the node is told. */
export interface Wishes {
  readonly maximumHeapMegabytes: number
  readonly port: number | null
}

type Failed = EmbeddedKafkaError.EmbeddedKafkaError

/** `signal` reaches the process as it is, for a pause and what else a test invents. */
export interface BrokerNode {
  readonly start: Effect.Effect<void, Failed>
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void, Failed>
  readonly control: Effect.Effect<Control.Control, Failed>
}

type State =
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Starting"; readonly process: BrokerProcess.BrokerProcess }
  | {
    readonly _tag: "Running"
    readonly process: BrokerProcess.BrokerProcess
    readonly controlPort: number
  }

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
      const controlPort = yield* process.ready.pipe(
        Effect.mapError(describe),
        Effect.timeoutOrElse({
          duration: readyLimit,
          orElse: () => Effect.fail(`it was not ready within ${readyLimit}`)
        }),
        Effect.catch((detail) =>
          Effect.flatMap(failure(settings, machine, wishes, process, detail), Effect.fail)
        ),
        Effect.onError(() => end(BrokerProcess.kill))
      )
      yield* Ref.set(state, { _tag: "Running", process, controlPort })
    })

    const running = (request: string) =>
      Effect.flatMap(Ref.get(state), (current) =>
        current._tag === "Running"
          ? Effect.succeed(current)
          : EmbeddedKafkaError.make(
            new EmbeddedKafkaError.RequestRefused({
              request,
              error: "NotRunning",
              detail: "the broker is stopped; start it first"
            })
          ))

    yield* Effect.addFinalizer(() => end(BrokerProcess.kill))
    return {
      start: withLiveClock(lock.withPermit(launch)),
      stop: lock.withPermit(end(BrokerProcess.stop)),
      kill: lock.withPermit(end(BrokerProcess.kill)),
      signal: (signal) =>
        Effect.flatMap(running(`signal ${signal}`), ({ process }) => process.signal(signal)),
      control: Effect.map(running("the request"), ({ controlPort }) => ({
        port: controlPort,
        token: settings.token
      }))
    } satisfies BrokerNode
  }
)

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
  logFile: machine.logFile
})

const describe = (exited: BrokerProcess.Exited): string => {
  const how = exited.signal === null ? `code ${exited.code}` : `signal ${exited.signal}`
  return `it ended with ${how} ${exited.output.trim()}`.trim()
}

/** The log is kept for a person to read, since the broker's directory is about to go. */
const failure = Effect.fnUntraced(
  function*(
    settings: BrokerSettings.Settings,
    machine: Machine,
    wishes: Wishes,
    process: BrokerProcess.BrokerProcess,
    detail: string
  ) {
    const logTail = yield* BrokerProcess.logTail(machine.logFile, process.logStart)
    const logFile = join(tmpdir(), `${basename(settings.directory)}.log`)
    const reason = StartFailure.classify({
      detail,
      logTail,
      logFile,
      maximumHeapMegabytes: wishes.maximumHeapMegabytes,
      port: wishes.port
    })
    if (reason._tag === "BrokerFailed" || reason._tag === "OutOfMemory") {
      yield* Files.attempt("keeping the log", () => copyFile(machine.logFile, logFile))
    }
    return EmbeddedKafkaError.make(reason)
  }
)
