import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import * as EmbeddedKafka from "../src/EmbeddedKafka.ts"
import * as Ports from "../src/internal/ports.ts"
import * as StartFailure from "../src/internal/startFailure.ts"

const realJava = execFileSync("sh", ["-c", "command -v java"], { encoding: "utf8" }).trim()
const realMaven = execFileSync("sh", ["-c", "command -v mvn"], { encoding: "utf8" }).trim()
const repository = join(process.env["HOME"] ?? "", ".m2", "repository")

/** An empty directory that stands first in the PATH, or alone in it, while the scope is open. */
const programs = Effect.fnUntraced(function*(alone: boolean) {
  const saved = { ...process.env }
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-test-"))),
    (directory) =>
      Effect.sync(() => {
        process.env = saved
        rmSync(directory, { recursive: true })
      })
  )
  process.env = {
    ...saved,
    XDG_CACHE_HOME: join(directory, "cache"),
    PATH: alone ? directory : [directory, saved["PATH"]].join(delimiter)
  }
  delete process.env["JAVA_HOME"]
  const script = (name: string, text: string) =>
    writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  return { directory, script }
})

const failure = (options?: EmbeddedKafka.Options) =>
  Effect.map(Effect.flip(Effect.scoped(EmbeddedKafka.make(options))), (error) => {
    assert.strictEqual(error._tag, "EmbeddedKafkaError")
    return error.reason
  })

/** Maven with nothing of its own: settings that know one place, and a repository. */
const settings = (directory: string, url: string, localRepository: string): string => {
  const file = join(directory, "settings.xml")
  writeFileSync(
    file,
    `<settings><localRepository>${localRepository}</localRepository><mirrors><mirror>
       <id>central</id><mirrorOf>*</mirrorOf><url>${url}</url></mirror></mirrors></settings>`
  )
  return `exec ${realMaven} --settings ${file} "$@"`
}

describe("what is missing on the machine", () => {
  it.effect("no java: NoJava says what to install", () =>
    Effect.gen(function*() {
      yield* programs(true)
      const reason = yield* failure()
      assert.strictEqual(reason._tag, "NoJava")
      assert.include(reason.message, "JAVA_HOME")
    }))

  it.effect("a JAVA_HOME with nothing in it: NoJava names it", () =>
    Effect.gen(function*() {
      const { directory } = yield* programs(false)
      process.env["JAVA_HOME"] = directory
      const reason = yield* failure()
      assert.strictEqual(reason._tag, "NoJava")
      assert.include(reason.message, directory)
    }))

  it.effect("a Java that has no compiler: NoJava, before anything is downloaded", () =>
    Effect.gen(function*() {
      const { directory, script } = yield* programs(true)
      const version = `echo '    java.home = ${directory}'; echo 'openjdk version "21.0.2"'`
      script("java", `(${version}) >&2`)
      const reason = yield* failure()
      assert.strictEqual(reason._tag, "NoJava")
      assert.include(reason.message, "no development kit")
    }))

  it.effect.each([["11.0.2", 11], ["1.8.0_402", 8]] as const)(
    "Java %s: JavaTooOld says which is needed",
    ([version, found]) =>
      Effect.gen(function*() {
        const { script } = yield* programs(true)
        script("java", `echo 'openjdk version "${version}"' >&2`)
        const reason = yield* failure()
        assert.deepInclude(reason, { _tag: "JavaTooOld", found, required: 17 })
      })
  )

  it.effect("no mvn: NoMaven says what to install", () =>
    Effect.gen(function*() {
      const { directory } = yield* programs(true)
      symlinkSync(realJava, join(directory, "java"))
      const reason = yield* failure()
      assert.strictEqual(reason._tag, "NoMaven")
      assert.include(reason.message, "apt-get install maven")
    }))

  it.effect("mvn offline with an empty repository: Offline", () =>
    Effect.gen(function*() {
      const { directory, script } = yield* programs(false)
      const repository = join(directory, "repository")
      script("mvn", `exec ${realMaven} --offline -Dmaven.repo.local=${repository} "$@"`)
      const reason = yield* failure()
      assert.strictEqual(reason._tag, "Offline")
      assert.include(reason.message, "4.4.0 is not in the cache")
    }))

  it.effect("no network with an empty repository: Offline", () =>
    Effect.gen(function*() {
      const { directory, script } = yield* programs(false)
      script("mvn", settings(directory, "http://127.0.0.1:9/", join(directory, "repository")))
      assert.strictEqual((yield* failure())._tag, "Offline")
    }))

  it.effect("a version that was never released: BadOption", () =>
    Effect.gen(function*() {
      const { directory, script } = yield* programs(false)
      script("mvn", settings(directory, `file://${directory}`, repository))
      const reason = yield* failure({ version: "4.4.99" })
      assert.deepInclude(reason, { _tag: "BadOption", option: "version" })
      assert.include(reason.message, "4.4.99")
    }))
})

describe("what cannot be as it was asked for", () => {
  it.effect.each(
    [
      ["nodes", { nodes: 0 }],
      ["nodes", { nodes: 2 }],
      ["nodes", { nodes: 2.5 }],
      ["nodes", { nodes: 1000 }],
      ["port", { nodes: 3, port: 9092 }],
      ["proxiedPorts", { nodes: 3, proxiedPorts: [20_001, 20_002] }],
      ["version", { version: "four" }],
      ["port", { port: 70_000 }],
      ["proxiedPorts", { proxiedPorts: [0] }],
      ["maximumHeapMegabytes", { maximumHeapMegabytes: 0.5 }],
      ["users", { users: { app: "secret" } }],
      ["users", { listeners: "sasl", users: { "a b": "secret" } }],
      ["properties", { properties: { "log.retention.hours": "many" } }],
      ["features", { features: { "transaction.version": 99 } }],
      ["features", { features: { colour: 1 } }]
    ] as const
  )("%s: BadOption names it", ([option, options]) =>
    Effect.gen(function*() {
      const reason = yield* failure(options)
      assert.deepInclude(reason, { _tag: "BadOption", option })
    }))

  it.effect("a port that another process listens on: PortInUse", () =>
    Effect.gen(function*() {
      const [port = 0] = yield* Ports.choose(1)
      yield* listen(port)
      const reason = yield* failure({ port })
      assert.deepInclude(reason, { _tag: "PortInUse", port, option: "port" })
    }))

  it.effect("a port that was taken while the broker was stopped: PortInUse", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.make()
      const port = Number(kafka.bootstrapServers[0]?.split(":")[1])
      yield* kafka.stop
      yield* listen(port)
      const { reason } = yield* Effect.flip(kafka.start)
      assert.deepInclude(reason, { _tag: "PortInUse", port, option: null })
    }))

  it.effect.each([1, 24])(
    "a heap of %i MB: OutOfMemory",
    (maximumHeapMegabytes) =>
      Effect.gen(function*() {
        const reason = yield* failure({ maximumHeapMegabytes })
        assert.strictEqual(reason._tag, "OutOfMemory")
        if (reason._tag === "OutOfMemory") {
          assert.strictEqual(reason.maximumHeapMegabytes, maximumHeapMegabytes)
          rmSync(reason.logFile)
        }
      })
  )

  it.effect("anything else: BrokerFailed shows the end of the log and keeps it", () =>
    Effect.gen(function*() {
      const reason = yield* failure({ properties: { "log.dirs": "/proc/none" } })
      assert.strictEqual(reason._tag, "BrokerFailed")
      if (reason._tag === "BrokerFailed") {
        assert.include(reason.message, "/proc/none")
        assert.include(readFileSync(reason.logFile, "utf8"), "/proc/none")
        assert.isFalse(existsSync(reason.logFile.replace(".broker-1.log", "")))
        rmSync(reason.logFile)
      }
    }))
})

describe("why a broker did not start, from the end of its log", () => {
  it.each([
    ["Error: Could not reserve enough space for object heap", "OutOfMemory"],
    ["There is insufficient memory for the Java Runtime Environment to continue.", "OutOfMemory"],
    ["java.lang.OutOfMemoryError: Metaspace", "OutOfMemory"],
    ["KafkaException: Socket server failed to bind to 127.0.0.1:9092: in use", "PortInUse"],
    ["Unsupported feature: colour. Supported features are: ...", "BadOption"],
    ["ConfigException: Invalid value many for configuration log.retention.hours", "BadOption"],
    ["KafkaStorageException: no space left on device", "BrokerFailed"]
  ])("%s: %s", (logTail, tag) => {
    const evidence = { detail: "code 1", logFile: "log", maximumHeapMegabytes: 400, port: 9092 }
    assert.strictEqual(StartFailure.classify({ ...evidence, logTail })._tag, tag)
  })
})

const listen = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer()
      server.listen({ port, host: "127.0.0.1" }, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )
