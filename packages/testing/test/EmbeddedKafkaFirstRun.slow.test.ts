/** In a file of its own, for it starts with nothing cached and takes a while. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("EmbeddedKafkaProgram.ts", import.meta.url))
const realMaven = execFileSync("sh", ["-c", "command -v mvn"], { encoding: "utf8" }).trim()
const repository = join(process.env["HOME"] ?? "", ".m2", "repository")

/**
 * A user's first run: no cache, and a Maven without a repository that downloads everything, from
 * the repository of this machine in place of the network.
 */
const newUser = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-test-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  ),
  (directory) => {
    const settings = join(directory, "settings.xml")
    writeFileSync(
      settings,
      `<settings><localRepository>${join(directory, "repository")}</localRepository>
         <mirrors><mirror><id>here</id><mirrorOf>*</mirrorOf><url>file://${repository}</url>
         </mirror></mirrors></settings>`
    )
    const maven = `#!/bin/sh\nexec ${realMaven} --settings ${settings} "$@"\n`
    writeFileSync(join(directory, "mvn"), maven, { mode: 0o755 })
    return {
      ...process.env,
      XDG_CACHE_HOME: join(directory, "cache"),
      PATH: [directory, process.env["PATH"]].join(delimiter)
    }
  }
)

/** Runs a program until its broker is up, and answers the lines that it showed on the way. */
const shownUntilReady = (env: NodeJS.ProcessEnv): Effect.Effect<ReadonlyArray<string>> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, ["--conditions=@kafka-once/source", program], {
      stdio: ["ignore", "pipe", "pipe"],
      env
    })
    let shown = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      shown += text
    })
    child.stdout.once("data", () => child.kill("SIGTERM"))
    child.on("close", () => resume(Effect.succeed(shown.trim().split("\n"))))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

it.live(
  "a first run shows what it waits for, and the next one nothing",
  () =>
    Effect.gen(function*() {
      const env = yield* newUser
      const shown = yield* shownUntilReady(env)
      assert.strictEqual(
        shown[0],
        "kafka-once: resolving Apache Kafka 4.4.0 with Maven, once for this user"
      )
      assert.strictEqual(shown[1], "kafka-once: 20 jars downloaded")
      assert.deepStrictEqual(shown.slice(-2), [
        "kafka-once: preparing a fast start, once for this user",
        "kafka-once: Apache Kafka 4.4.0 is ready"
      ])
      assert.deepStrictEqual(yield* shownUntilReady(env), [""])
    }),
  300_000
)
