import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))
const document = readFileSync(`${root}docs/guarantees.md`, "utf8")

/** `file`: "title", "title" */
const references = document.split("\n").flatMap((line) =>
  [...line.matchAll(/`(packages\/[^`]+)`: ((?:"[^"]+"(?:, )?)+)/g)].flatMap(([, file, titles]) =>
    [...(titles ?? "").matchAll(/"([^"]+)"/g)].map(([, title]) => ({
      file: file ?? "",
      title: title ?? ""
    }))
  )
)

const promises = document.split("\n").filter((line) =>
  line.startsWith("| ") && !line.startsWith("| ---") && !line.startsWith("| promise")
)

describe("docs/guarantees.md", () => {
  it("names a test for every promise", () => {
    assert.isAbove(promises.length, 20)
    const unproven = promises.filter((line) => !/`packages\/[^`]+`: "/.test(line))
    assert.deepStrictEqual(unproven, [])
  })

  it.each(references)("$file has $title", ({ file, title }) => {
    assert.isTrue(existsSync(`${root}${file}`), `${file} does not exist`)
    const text = readFileSync(`${root}${file}`, "utf8")
    // In quotes and not in a comment: a title, as a call of `it` has it.
    const isThere = text.split("\n").some((line) =>
      line.includes(title) && /["'`]/.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line)
    )
    assert.isTrue(isThere, `${file} has no test with this title`)
  })

  it("finds the titles that it looks for", () => {
    assert.isAbove(references.length, promises.length)
  })
})
