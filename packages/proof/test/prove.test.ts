import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parse } from "../scripts/ProveArguments.ts"
import * as ProveReport from "../scripts/ProveReport.ts"

const program = fileURLToPath(new URL("../scripts/prove.ts", import.meta.url))

const run = (...args: ReadonlyArray<string>) =>
  spawnSync(process.execPath, ["--conditions=@kafka-once/source", program, ...args], {
    encoding: "utf8",
    timeout: 120_000
  })

describe("npm run prove", () => {
  it.each([
    [["--only", "P99"], `"P99" is none`],
    [["--only", ""], "P1, P2, P3, P4, P5, P13, P14, P7, P8, P9, P10, P11, P12"],
    [["--json", "/no/such/folder/a.json"], "a file that can be written"],
    [["--json", ""], "a file that can be written"],
    [["--fast"], "--fast"],
    [["P1"], "P1"]
  ])("refuses %j before anything starts", (args, named) => {
    const parsed = parse(args)
    assert(parsed._tag === "Exit")
    assert.strictEqual(parsed.code, 2)
    assert.include(parsed.text, named)
    assert.include(parsed.text, "--help")
  })

  it("takes the ids of scenarios in any case, and all without them", () => {
    assert.deepStrictEqual(parse(["--only", "p1, P4"]), {
      _tag: "Run",
      arguments: { only: ["P1", "P4"], json: null }
    })
    const all = parse([])
    assert(all._tag === "Run")
    assert.deepStrictEqual(
      all.arguments.only,
      ["P1", "P2", "P3", "P4", "P5", "P13", "P14", "P7", "P8", "P9", "P10", "P11", "P12"]
    )
  })

  it("fails when the library breaks, not when the raw client does", () => {
    const row = (raw: boolean, library: boolean): ProveReport.Row => ({
      scenario: "P1",
      driver: "kafkajs",
      raw: { holds: raw, what: "" },
      library: { holds: library, what: "" }
    })
    assert.strictEqual(ProveReport.exitCode([row(false, true), row(true, true)]), 0)
    assert.strictEqual(ProveReport.exitCode([row(false, true), row(true, false)]), 1)
    assert.strictEqual(ProveReport.exitCode([]), 1)
  })

  it("ends with 2 and the reason on the standard error for a wrong flag", () => {
    const { status, stderr, stdout } = run("--wrong")
    assert.strictEqual(status, 2)
    assert.include(stderr, "--wrong")
    assert.strictEqual(stdout, "")
  })

  it("prints what became of the records, and writes it as JSON", () => {
    const folder = mkdtempSync(join(tmpdir(), "kafka-once-prove-"))
    try {
      const file = join(folder, "prove.json")
      const { status, stderr, stdout } = run("--only", "P4", "--json", file)
      assert.strictEqual(stderr, "")
      assert.strictEqual(status, 0)
      assert.match(stdout, /raw kafkajs +BREAKS +the commit of "first" failed/)
      assert.match(stdout, /kafka-once +holds +transaction 1 committed, 2 committed/)
      assert.include(stdout, "raw kafkajs holds in 0 of 1, kafka-once in 1 of 1")
      const [row] = JSON.parse(readFileSync(file, "utf8"))
      assert.hasAllKeys(row, ["scenario", "driver", "raw", "library"])
      assert.deepStrictEqual([row.scenario, row.driver], ["P4", "kafkajs"])
      assert.deepStrictEqual([row.raw.holds, row.library.holds], [false, true])
      assert.include(row.raw.what, "it is committed")
    } finally {
      rmSync(folder, { recursive: true })
    }
  }, 120_000)
})
