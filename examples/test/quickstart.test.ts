import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "../quickstart/arguments.ts"
import { environment, inFolder, nodeArguments, run } from "./runQuickstart.ts"

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
      for await (const text of child.stdout) {
        if (String(text).includes("flights come in")) break
      }
      process.kill(-child.pid!, "SIGINT")
      assert.deepStrictEqual(await exited, [130, null])
      assert.throws(() => process.kill(-child.pid!, 0), "ESRCH")
      assert.deepStrictEqual(readdirSync(folder), [])
    }), 60_000)

  it("says what is missing where there is no Java", async () => {
    const { code, stderr } = await run([], {
      ...environment,
      PATH: "/nonexistent",
      JAVA_HOME: undefined
    })
    assert.strictEqual(code, 1)
    assert.match(
      stderr,
      /^\nA broker needs a Java development kit, .*, or set JAVA_HOME to one\.\n$/
    )
  })

  it("says so where there is no cluster at the addresses", async () => {
    const { code, stderr } = await run(["--brokers", "127.0.0.1:1"])
    assert.strictEqual(code, 1)
    assert.include(stderr, "Check the addresses")
  })

  it("is refused at once where the file of --json cannot be written", async () => {
    const { code, stdout, stderr } = await run(["--json", "/nonexistent/result.json"])
    assert.strictEqual(code, 1)
    assert.include(`${stdout}${stderr}`, "--json")
    assert.notInclude(stdout, "Apache Kafka")
  })

  it("ends with exit code 2 where its flags are wrong", async () => {
    const { code, stderr, stdout } = await run(["--records", "none"])
    assert.strictEqual(code, 2)
    assert.include(stderr, "--help")
    assert.strictEqual(stdout, "")
  })

  it.each([
    { args: ["--records", "1"], problem: "from 2 to 2000000" },
    { args: ["--records", "2.5"], problem: "from 2 to 2000000" },
    { args: ["--driver", "carrier pigeon"], problem: "kafkajs, platformatic" },
    { args: ["--brokers", "nowhere"], problem: "host:port" },
    { args: ["--json", ""], problem: "the name of a file" },
    { args: ["--unknown"], problem: "--unknown" },
    { args: ["stray"], problem: "stray" }
  ])("refuses $args, and says what is wrong and how to get help", ({ args, problem }) => {
    const parsed = parse(args)
    assert.deepInclude(parsed, { _tag: "Exit", code: 2 })
    assert.include(parsed._tag === "Exit" ? parsed.text : "", problem)
    assert.include(parsed._tag === "Exit" ? parsed.text : "", "--help")
  })
})
