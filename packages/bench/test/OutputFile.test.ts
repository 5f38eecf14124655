import { assert, describe, it } from "@effect/vitest"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as OutputFile from "../src/OutputFile.ts"

describe("a file to write at the end", () => {
  it("that can be written has no problem, and is not there before it is", () => {
    const folder = mkdtempSync(join(tmpdir(), "bench-"))
    const file = join(folder, "figures.json")
    assert.isNull(OutputFile.problemOf("--json", file))
    assert.isFalse(existsSync(file))
    rmSync(folder, { recursive: true })
  })

  it("keeps what it holds until then", () => {
    const folder = mkdtempSync(join(tmpdir(), "bench-"))
    const file = join(folder, "figures.json")
    writeFileSync(file, "earlier figures")
    assert.isNull(OutputFile.problemOf("--json", file))
    assert.strictEqual(readFileSync(file, "utf8"), "earlier figures")
    rmSync(folder, { recursive: true })
  })

  it("is named with its flag where it cannot be written; no file is no problem", () => {
    const problem = OutputFile.problemOf("--chart", tmpdir())
    assert.match(problem ?? "", /^--chart: ".+" cannot be written \(EISDIR/)
    assert.isNull(OutputFile.problemOf("--chart", null))
  })
})
