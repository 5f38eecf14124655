import { assert, describe, it } from "@effect/vitest"
import { parse, usage, workNames } from "../src/Arguments.ts"

describe("the command line", () => {
  it("without flags is all works at the default length, and no file", () => {
    assert.deepStrictEqual(parse([]), {
      _tag: "Run",
      arguments: { works: workNames, length: "default", json: null, chart: null }
    })
  })

  it("takes works in the order asked for, a length and files", () => {
    const given = ["--short", "--json", "figures.json", "--chart", "figures.svg"]
    assert.deepStrictEqual(parse(["--work", "core, single", ...given]), {
      _tag: "Run",
      arguments: {
        works: ["core", "single"],
        length: "short",
        json: "figures.json",
        chart: "figures.svg"
      }
    })
    assert.deepStrictEqual(parse(["--long", "--work=batch"]), {
      _tag: "Run",
      arguments: { works: ["batch"], length: "long", json: null, chart: null }
    })
  })

  it("--help prints the usage, with every work in it, and ends well", () => {
    assert.deepStrictEqual(parse(["--help"]), { _tag: "Exit", text: usage, code: 0 })
    for (const name of workNames) assert.include(usage, `  ${name} `)
  })

  for (
    const [args, names] of [
      [["--bogus"], "--bogus"],
      [["core"], "'core'"],
      [["--work", "core,warp"], '"warp"'],
      [["--work", ""], '""'],
      [["--work"], "--work"],
      [["--json", ""], "--json"],
      [["--json"], "--json"],
      [["--chart", ""], "--chart"],
      [["--json", "--short"], "--json"],
      [["--short", "--long"], "--short and --long"],
      [["--short=yes"], "--short"]
    ] as const
  ) {
    it(`[${args}] is refused by one error that names it, with code 2`, () => {
      const parsed = parse(args)
      assert(parsed._tag === "Exit")
      assert.strictEqual(parsed.code, 2)
      const [problem, ...rest] = parsed.text.split("\n")
      assert.include(problem, names)
      assert.strictEqual(rest.at(-1), "Try npm run bench -- --help")
    })
  }
})
