/** The README's table of kafkajs' defects, against the titles of the tests that it names. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const here = fileURLToPath(new URL(".", import.meta.url))
const contracts = fileURLToPath(new URL("../../proof/src", import.meta.url))

const textOf = (folder: string, name: string): string => readFileSync(`${folder}/${name}`, "utf8")

/** The titles of tests in a text, which may stand on the line after the call. */
const titlesOf = (text: string): ReadonlyArray<string> =>
  Array.from(
    text.matchAll(/"((?:[^"\\\n]|\\.)+ \((?:[KP]\d+(?:, )?)+\))"/g),
    ([, title]) => title ?? ""
  )

const numbersOf = (title: string): ReadonlyArray<string> =>
  /\(((?:[KP]\d+(?:, )?)+)\)$/.exec(title)?.[1]?.split(", ").filter((one) => one.startsWith("K")) ??
    []

/** The numbers in the titles of the files that a name of the last column stands for. */
const shownIn = (name: string): ReadonlySet<string> => {
  const titles = [[here, `${name}.test.ts`], [contracts, `${capitalized(name)}.ts`]] as const
  return new Set(
    titles.flatMap(([folder, end]) =>
      readdirSync(folder).filter((file) => file.endsWith(end)).flatMap((file) =>
        titlesOf(textOf(folder, file)).flatMap(numbersOf)
      )
    )
  )
}

/** A suite of every driver is named after what it shows: `Security`, `DriverContract`. */
const capitalized = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1)

const rows = Array.from(
  textOf(`${here}..`, "README.md").matchAll(/^\| (K\d+) \|.*\| ([^|]*) \|$/gm),
  ([, number = "", shown = ""]) => ({ number, shown })
)

describe("the README", () => {
  it("has a row for each of the 26 defects", () => {
    assert.deepStrictEqual(
      rows.map(({ number }) => number),
      Array.from({ length: 26 }, (_, index) => `K${index + 1}`)
    )
  })

  it.each(rows)("$number is in the titles of $shown", ({ number, shown }) => {
    if (shown.startsWith("documented only")) return
    for (const name of shown.split(", ")) assert.include([...shownIn(name)], number)
  })

  it("no title has a number that the README has not, or says that nothing shows", () => {
    const documented = rows.filter(({ shown }) => !shown.startsWith("documented only"))
    const known = new Set(documented.map(({ number }) => number))
    const files = readdirSync(here).filter((file) => file.endsWith(".test.ts"))
    const numbers = files.flatMap((file) => titlesOf(textOf(here, file)).flatMap(numbersOf))
    assert.isAbove(numbers.length, 20)
    assert.deepStrictEqual(numbers.filter((number) => !known.has(number)), [])
  })
})
