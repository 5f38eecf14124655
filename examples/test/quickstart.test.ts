import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../quickstart/main.ts", import.meta.url))

const run = (...args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>(
    (resolve) =>
      execFile(
        process.execPath,
        ["--conditions=@kafka-once/source", main, ...args],
        { timeout: 90_000, env: { ...process.env, KAFKA_BROKERS: undefined } },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })
      )
  )

describe("the quickstart", () => {
  it("loses, doubles and tears nothing, through a lost answer and a killed process", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kafka-once-quickstart-"))
    try {
      const file = join(folder, "result.json")
      const { code, stdout, stderr } = await run("--json", file)
      assert.strictEqual(code, 0, `${stdout}${stderr}`)
      const result = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>
      const { committed, aborted, unknown, lost, doubled, torn } = result
      assert.deepStrictEqual(
        { committed, aborted, unknown, lost, doubled, torn },
        { committed: 87, aborted: 3, unknown: 0, lost: 0, doubled: 0, torn: 0 }
      )
      assert.match(stdout, /processes killed +1 /)
      assert.match(stdout, /answers lost +1 /)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }, 120_000)

  it.each(["5", "500"])("runs with %s records as well", async (records) => {
    const { code, stdout, stderr } = await run("--records", records)
    assert.strictEqual(code, 0, `${stdout}${stderr}`)
    assert.match(stdout, /answers lost +1 /)
    assert.match(stdout, /lost +0/)
  }, 120_000)

  it("is refused at once where the file of --json cannot be written", async () => {
    const { code, stdout, stderr } = await run("--json", "/nonexistent/result.json")
    assert.strictEqual(code, 1)
    assert.include(`${stdout}${stderr}`, "--json")
    assert.notInclude(stdout, "Apache Kafka")
  })

  it.each([
    ["--records", "none"],
    ["--records", "0"],
    ["--driver", "carrier pigeon"],
    ["--unknown"],
    ["stray"]
  ])("%s %s is refused with exit code 2, and says how to get help", async (...args) => {
    const { code, stderr } = await run(...args)
    assert.strictEqual(code, 2)
    assert.include(stderr, "--help")
  })
})
