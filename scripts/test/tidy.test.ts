import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { files, read, root } from "../repository.ts"
import { rules } from "../style.ts"

// What a person writes as text. Everything else is generated, data, or binary.
const texts = files.filter((path) =>
  /\.(ts|mjs|json|md|ya?ml|java|xml|properties)$|(^|\/)\.[\w.]+$|\.ci\/run$|LICENSE$/.test(path) &&
  !path.includes("/generated/") && !path.startsWith("examples/data/")
)

describe.each(rules)("$name", ({ applies, check, breaks, keeps }) => {
  it("finds the sample that breaks it", () => {
    assert.isTrue(applies(breaks.path))
    assert.isNotEmpty(check(breaks.text, breaks.path))
  })

  it("accepts the sample that keeps it", () => {
    assert.deepStrictEqual(check(keeps.text, keeps.path), [])
  })

  it("holds in every file", () => {
    const found = texts.filter(applies).flatMap((path) =>
      check(read(path), path).map(([line, what]) => `${path}:${line}: ${what}`)
    )
    assert.deepStrictEqual(found, [])
  })
})

describe("the linter's configuration", () => {
  let folder = ""
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "kafka-once-lint-"))
    cpSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const samples: ReadonlyArray<readonly [rule: string, text: string]> = [
    ["eslint(no-console)", "console.log(1)\n"],
    ["eslint(no-restricted-imports)", 'import { Effect } from "effect"\nEffect\n'],
    ["typescript(no-explicit-any)", "export const a: any = 1\n"],
    ["typescript(array-type)", "export const a: string[] = []\n"],
    ["import(no-default-export)", "export default 1\n"]
  ]

  it.each(samples)("refuses what %s forbids", (rule, text) => {
    const file = join(folder, "Sample.ts")
    writeFileSync(file, text)
    const { stdout } = spawnSync("oxlint", ["--format", "json", "Sample.ts"], {
      cwd: folder,
      encoding: "utf8"
    })
    const { diagnostics } = JSON.parse(stdout) as {
      readonly diagnostics: ReadonlyArray<{ readonly code: string }>
    }
    assert.include(diagnostics.map(({ code }) => code), rule)
  })
})
