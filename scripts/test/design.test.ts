import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))
const lines = readFileSync(`${root}docs/design.md`, "utf8").split("\n")

/** Where a file may be that the text names without its folder. */
const folders = [
  "",
  "packages",
  "packages/core/src",
  "packages/core/src/internal",
  "packages/core/src/internal/pipeline",
  "packages/core/test"
]

/** Each file with its line; beside others of the first one's folder, which a row names once. */
const named = lines.flatMap((line, index) => {
  const files = [...line.matchAll(/`([\w./]+\.ts)`/g)].map(([, file]) => file ?? "")
  const beside = `packages/${dirname(files[0] ?? "")}`
  return files.map((file) => ({ file, line: index + 1, beside }))
})

const invariants = lines.flatMap((line) => /^\| (I\d+) \|/.exec(line)?.[1] ?? [])

const tests = ["Invariants", "ExactlyOnce"].map((name) =>
  readFileSync(`${root}packages/core/test/${name}.test.ts`, "utf8")
).join("\n")

describe("docs/design.md", () => {
  it("names files that are there", () => {
    assert.isAbove(named.length, 80)
    const missing = named.filter(({ beside, file }) =>
      ![...folders, beside].some((folder) => existsSync(`${root}${folder}/${file}`))
    )
    assert.deepStrictEqual(missing, [])
  })

  it("names each of them in one row of the file map", () => {
    const map = named.slice(named.findIndex(({ file }) => file === "core/src/ErrorCode.ts"))
      .filter(({ line }) => lines[line - 1]?.startsWith("| ") === true)
      .map(({ beside, file }) => file.includes("/") ? `packages/${file}` : `${beside}/${file}`)
    assert.deepStrictEqual(map.filter((file, index) => map.indexOf(file) !== index), [])
  })

  it.each(invariants)("%s is held by a test whose title begins with it", (invariant) => {
    assert.match(
      tests,
      new RegExp(`it\\S*\\(\\s*["\`]${invariant}[:,]|\\)\\(\\s*["\`]${invariant}:`)
    )
  })

  it("finds all invariants", () => {
    assert.deepStrictEqual(invariants, Array.from({ length: 11 }, (_, index) => `I${index + 1}`))
  })
})
