/**
 * The process of one node: started, awaited, signalled, and never left behind.
 *
 * The launcher reads its standard input, which this process holds open: when this process ends in
 * whatever way, SIGKILL included, the input ends, and the launcher removes its directory and
 * halts. It runs in a process group of its own, so that a Ctrl-C in the terminal reaches only this
 * process, whose finalizers then end it in order.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, fstatSync, openSync } from "node:fs"
import { open } from "node:fs/promises"
import { Socket } from "node:net"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import * as Files from "./files.ts"
import type { Java } from "./java.ts"

const outputLimit = 10_000
const tailBytes = 16_384
const tailLines = 40
const exitLimit = "20 seconds"

export interface Exited {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
}

export interface BrokerProcess {
  readonly pid: number | null
  /** Where its part of the log begins. */
  readonly logStart: number
  /** The control port, or how the process ended before it was ready. */
  readonly ready: Effect.Effect<number, Exited>
  readonly exited: Effect.Effect<Exited>
  readonly isGone: Effect.Effect<boolean>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

export interface Launch {
  readonly java: Java
  readonly classPath: string
  readonly virtualMachine: ReadonlyArray<string>
  readonly settingsFile: string
  readonly logFile: string
}

const virtualMachine = [
  "-XX:TieredStopAtLevel=1",
  "-XX:+UseSerialGC",
  "-XX:+ExitOnOutOfMemoryError",
  "-Dfile.encoding=UTF-8",
  "-Djava.awt.headless=true",
  "-Dorg.slf4j.simpleLogger.showDateTime=true",
  "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
  // A page of settings per component hides what one looks for.
  "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
  "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn"
]

export const start = (
  launch: Launch
): Effect.Effect<BrokerProcess, EmbeddedKafkaError.EmbeddedKafkaError> =>
  Effect.try({
    try: () => spawnUnsafe(launch),
    catch: (cause) =>
      EmbeddedKafkaError.make(
        new EmbeddedKafkaError.MachineFailed({ step: "starting Java", detail: String(cause) })
      )
  })

const spawnUnsafe = (launch: Launch): BrokerProcess => {
  const args = [
    ...virtualMachine,
    ...launch.virtualMachine,
    "-cp",
    launch.classPath,
    "BrokerLauncher",
    launch.settingsFile
  ]
  const log = openSync(launch.logFile, "a")
  const logStart = fstatSync(log).size
  const child = spawn(launch.java.command, args, { detached: true, stdio: ["pipe", "pipe", log] })
  closeSync(log)
  unref(child)
  const ready = Deferred.makeUnsafe<number, Exited>()
  const exited = Deferred.makeUnsafe<Exited>()
  let output = ""
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output = (output + text).slice(-outputLimit)
    const match = /^READY (\d+)$/m.exec(output)
    if (match !== null) {
      Deferred.doneUnsafe(ready, Effect.succeed(Number(match[1])))
    }
  })
  // The launcher may be gone before its input is closed.
  child.stdin?.on("error", () => {})
  const finish = (code: number | null, signal: string | null) => {
    const ended = { code, signal, output }
    Deferred.doneUnsafe(ready, Effect.fail(ended))
    Deferred.doneUnsafe(exited, Effect.succeed(ended))
  }
  child.on("error", (error) => {
    output += error.message
    finish(null, null)
  })
  child.on("close", finish)
  return {
    pid: child.pid ?? null,
    logStart,
    ready: Deferred.await(ready),
    exited: Deferred.await(exited),
    isGone: Deferred.isDone(exited),
    signal: (signal) => Effect.sync(() => child.kill(signal))
  }
}

/** A broker is ended by its scope; it must not keep this process alive where that is forgotten. */
const unref = (child: ChildProcess): void => {
  child.unref()
  for (const pipe of [child.stdin, child.stdout]) {
    if (pipe instanceof Socket) {
      pipe.unref()
    }
  }
}

/** Ends it at once, as a loss of power would end the process (not the disk). */
export const kill = (process: BrokerProcess): Effect.Effect<void> =>
  process.signal("SIGKILL").pipe(
    Effect.andThen(process.exited),
    Effect.timeoutOrElse({
      duration: exitLimit,
      orElse: () => Effect.logError(`process ${process.pid} did not end within ${exitLimit}`)
    })
  )

/** Asks it to end, also one that is frozen, and ends it when it has not within the limit. */
export const stop = (process: BrokerProcess): Effect.Effect<void> =>
  process.signal("SIGTERM").pipe(
    Effect.andThen(process.signal("SIGCONT")),
    Effect.andThen(process.exited),
    Effect.timeoutOrElse({ duration: exitLimit, orElse: () => kill(process) })
  )

/** The end of a log, for a person to read. */
export const logTail = (
  logFile: string,
  logStart: number
): Effect.Effect<string, EmbeddedKafkaError.EmbeddedKafkaError> =>
  Files.attempt("reading the broker's log", () => readTail(logFile, logStart))

const readTail = (logFile: string, logStart: number): Promise<string> =>
  open(logFile, "r").then((file) =>
    file.stat()
      .then(({ size }) => {
        const length = Math.min(size - logStart, tailBytes)
        return file.read(Buffer.alloc(length), 0, length, size - length)
      })
      .then(({ buffer }) => buffer.toString("utf8").trimEnd().split("\n").slice(-tailLines))
      .then((lines) => lines.join("\n"))
      .finally(() => file.close())
  )
