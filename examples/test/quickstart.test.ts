import { assert, describe, it } from "@effect/vitest"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../quickstart/main.ts", import.meta.url))
const nodeArguments = ["--conditions=@kafka-once/source", main]

const environment = { ...process.env, KAFKA_BROKERS: undefined }

const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = environment) =>
  new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>(
    (resolve) =>
      execFile(
        process.execPath,
        [...nodeArguments, ...args],
        { timeout: 150_000, env },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })
      )
  )

const inFolder = async (use: (folder: string) => Promise<void>) => {
  const folder = mkdtempSync(join(tmpdir(), "kafka-once-quickstart-"))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe("the quickstart", () => {
  it.each([
    { driver: "kafkajs", records: 20_000, deadLetters: 40 },
    // Fewer records than partitions: both faults strike all the same.
    { driver: "platformatic", records: 5, deadLetters: 1 }
  ])(
    "loses, doubles and tears nothing of $records records on $driver",
    ({ deadLetters, driver, records }) =>
      inFolder(async (folder) => {
        const file = join(folder, "result.json")
        const args = ["--driver", driver, "--records", String(records), "--json", file]
        const { code, stdout, stderr } = await run(args)
        assert.strictEqual(code, 0, `${stdout}${stderr}`)
        const result = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>
        const { aborted, airports, committed, recordsPerSecond, unknown, ...exact } = result
        assert.deepStrictEqual(exact, {
          records: records - deadLetters,
          deadLetters,
          lost: 0,
          doubled: 0,
          torn: 0,
          mistold: 0,
          airportsUnequal: 0,
          workersKilled: 1,
          networkCuts: 1
        })
        // The one that was killed, at least.
        assert.isAtLeast(aborted ?? 0, 1)
        assert.isAtLeast(committed ?? 0, 1)
        assert.isAbove(airports ?? 0, 0)
        assert.isAbove(recordsPerSecond ?? 0, 0)
        assert.isNumber(unknown)
        assert.match(stdout, /workers killed +1 /)
        assert.match(stdout, /network cuts +1 /)
        assert.match(stdout, /sums that differ +0$/m)
      }),
    180_000
  )

  it("leaves no process and no file behind when it is stopped", () =>
    inFolder(async (folder) => {
      // A process group of its own, as a terminal gives: Ctrl-C reaches all of it.
      const child = spawn(process.execPath, nodeArguments, {
        detached: true,
        env: { ...environment, TMPDIR: folder },
        stdio: ["ignore", "pipe", "inherit"]
      })
      const exited = once(child, "exit")
      await once(child.stdout, "data") // the broker runs, and the workers are about to
      process.kill(-child.pid!, "SIGINT")
      assert.deepStrictEqual(await exited, [130, null])
      assert.throws(() => process.kill(-child.pid!, 0), "ESRCH")
      assert.deepStrictEqual(readdirSync(folder), [])
    }), 60_000)

  it("says what is missing where there is no Java", async () => {
    const { code, stdout, stderr } = await run([], {
      ...environment,
      PATH: "/nonexistent",
      JAVA_HOME: undefined
    })
    assert.strictEqual(code, 1)
    assert.include(`${stdout}${stderr}`, "Java 17")
  })

  it("is refused at once where the file of --json cannot be written", async () => {
    const { code, stdout, stderr } = await run(["--json", "/nonexistent/result.json"])
    assert.strictEqual(code, 1)
    assert.include(`${stdout}${stderr}`, "--json")
    assert.notInclude(stdout, "Apache Kafka")
  })

  it.each([
    ["--records", "none"],
    ["--records", "1"],
    ["--driver", "carrier pigeon"],
    ["--brokers", "nowhere"],
    ["--unknown"],
    ["stray"]
  ])("%s %s is refused with exit code 2, and says how to get help", async (...args) => {
    const { code, stderr } = await run(args)
    assert.strictEqual(code, 2)
    assert.include(stderr, "--help")
  })
})
