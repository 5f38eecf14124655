/**
 * An archive of the classes that a broker loads, which halves the time of a start.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { mkdtemp, rename, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BrokerProcess from "./brokerProcess.ts"
import * as BrokerSettings from "./brokerSettings.ts"
import * as Files from "./files.ts"
import type { Java } from "./java.ts"
import * as Ports from "./ports.ts"

const limit = "90 seconds"

class Untrained extends Data.TaggedError("Untrained")<{ readonly code: number | null }> {
  override get message(): string {
    return `the broker ended with ${this.code}`
  }
}

/**
 * Runs a broker once, and lets Java write down at its end what it had loaded. Where that fails
 * there is no archive, brokers start slower, and a line in the log says so.
 */
export const make = (java: Java, classPath: string, path: string): Effect.Effect<void> =>
  Effect.scoped(train(java, classPath, path)).pipe(
    Effect.timeout(limit),
    Effect.catch((error) =>
      Effect.logWarning(`brokers start slower, without a class archive: ${error.message}`)
    )
  )

const train = Effect.fnUntraced(function*(java: Java, classPath: string, path: string) {
  const directory = yield* Effect.acquireRelease(
    Files.attempt("making a directory", () => mkdtemp(join(tmpdir(), "kafka-once-"))),
    (directory) => Effect.ignore(Files.remove(directory), { log: "Warn" })
  )
  const [internal = 0, controller = 0, direct = 0] = yield* Ports.choose(3)
  const settings = BrokerSettings.make({
    nodeId: 1,
    voters: [{ nodeId: 1, controllerPort: controller }],
    directory,
    ownerDirectory: directory,
    clusterId: "a2Fma2Etb25jZS10cmFpbg",
    ports: { internal, controller, direct, proxied: [] },
    listeners: "plaintext",
    keyStores: null,
    users: {},
    authorizer: false,
    autoCreateTopics: false,
    features: {},
    properties: {},
    secret: "train"
  })
  const settingsFile = join(directory, "settings.json")
  yield* Files.attempt(
    `writing ${settingsFile}`,
    () => writeFile(settingsFile, JSON.stringify(settings), { mode: 0o600 })
  )
  const partial = `${path}.${process.pid}.partial`
  const broker = yield* Effect.acquireRelease(
    BrokerProcess.start({
      java,
      classPath,
      virtualMachine: [`-XX:ArchiveClassesAtExit=${partial}`, "-Xlog:disable", "-Xmx400m"],
      settingsFile,
      logFile: join(directory, "broker.log")
    }),
    BrokerProcess.kill
  )
  yield* Effect.mapError(broker.ready, ({ code }) => new Untrained({ code }))
  // Java writes the archive when it ends in order, so this is no place for a kill.
  yield* BrokerProcess.stop(broker)
  yield* Files.attempt(`writing ${path}`, () => rename(partial, path))
})
