import { assert, describe, it } from "vitest"
import { cycles, forbiddenImports, type Import, importsOf, undeclared } from "../imports.ts"
import { packageFolders, read, readManifest, sources } from "../repository.ts"

const imports = sources.flatMap((path) => importsOf(path, read(path)))

const sample = (path: string, specifier: string): ReadonlyArray<Import> => [
  { path, line: 1, specifier }
]

describe("importsOf", () => {
  it("finds every form of import, and none in comments", () => {
    const text = [
      'import * as Effect from "effect/Effect"',
      'import type { A } from "./A.ts"',
      "import {",
      "  b",
      '} from "node:fs"',
      'import "./effect.ts"',
      'export * as C from "./C.ts"',
      'const lazy = () => import("kafkajs")',
      '// import * as No from "no"',
      ' * import("no")',
      'export const from = "no"'
    ].join("\n")
    assert.deepStrictEqual(
      importsOf("x.ts", text).map(({ line, specifier }) => [line, specifier]),
      [
        [1, "effect/Effect"],
        [2, "./A.ts"],
        [3, "node:fs"],
        [6, "./effect.ts"],
        [7, "./C.ts"],
        [8, "kafkajs"]
      ]
    )
  })
})

describe("the arrows between packages", () => {
  it.each([
    ["core and a Node built-in", "packages/core/src/A.ts", "node:fs"],
    ["core and a client", "packages/core/src/A.ts", "kafkajs"],
    ["core and a driver", "packages/core/src/A.ts", "@kafka-once/kafkajs/KafkaJs"],
    ["core's source and what its tests may use", "packages/core/src/A.ts", "@kafka-once/testing/A"],
    ["a driver and another driver", "packages/platformatic/src/A.ts", "@kafka-once/kafkajs/A"],
    ["testing and a driver", "packages/testing/src/A.ts", "@kafka-once/kafkajs/A"],
    ["proof and a driver", "packages/proof/src/A.ts", "@kafka-once/kafkajs/KafkaJs"],
    ["an example and a private package", "examples/01.ts", "@kafka-once/proof/A"],
    ["the barrel of effect", "packages/core/src/A.ts", "effect"],
    ["the barrel of platform-node", "examples/01.ts", "@effect/platform-node"],
    ["another package's internal file", "examples/01.ts", "@kafka-once/core/internal/step"],
    ["another package's file by path", "packages/kafkajs/src/A.ts", "../../core/src/A.ts"]
  ])("%s: an import that is refused", (_, path, specifier) => {
    assert.lengthOf(forbiddenImports(sample(path, specifier)), 1)
  })

  it.each([
    ["packages/core/src/A.ts", "effect/Effect"],
    ["packages/core/src/A.ts", "./internal/b.ts"],
    ["packages/core/test/A.test.ts", "../src/internal/b.ts"],
    ["packages/core/test/A.test.ts", "@kafka-once/testing/FakeKafka"],
    ["packages/kafkajs/src/A.ts", "kafkajs/src/protocol/error"],
    ["packages/kafkajs/test/A.test.ts", "@kafka-once/proof/Contract"],
    ["packages/proof/test/A.test.ts", "@kafka-once/kafkajs/KafkaJs"],
    ["examples/01.ts", "@kafka-once/kafkajs/KafkaJs"]
  ])("%s may import %s", (path, specifier) => {
    assert.deepStrictEqual(forbiddenImports(sample(path, specifier)), [])
  })

  it("hold for every import of the repository", () => {
    assert.isAbove(imports.length, 50)
    assert.deepStrictEqual(forbiddenImports(imports), [])
  })
})

describe("cycles between files", () => {
  it("are found, also over three files", () => {
    const found = cycles([
      ...sample("p/a.ts", "./b.ts"),
      ...sample("p/b.ts", "./in/c.ts"),
      ...sample("p/in/c.ts", "../a.ts")
    ])
    assert.deepStrictEqual(found, ["p/a.ts -> p/b.ts -> p/in/c.ts -> p/a.ts"])
  })

  it("do not include two ways to the same file", () => {
    const both = [...sample("p/a.ts", "./b.ts"), ...sample("p/a.ts", "./c.ts")]
    assert.deepStrictEqual(cycles([...both, ...sample("p/b.ts", "./c.ts")]), [])
  })

  it("do not exist in the repository", () => {
    assert.deepStrictEqual(cycles(imports), [])
  })
})

describe("the dependencies of a manifest", () => {
  const workspace = { name: "workspace", version: "0", devDependencies: { vitest: "5" } }
  const manifest = { name: "@kafka-once/x", version: "0", peerDependencies: { effect: "4" } }
  const used = sample("packages/x/src/A.ts", "effect/Effect")

  it("are missed when source imports what only tests may", () => {
    const found = undeclared("packages/x", manifest, workspace, [
      ...used,
      ...sample("packages/x/src/A.ts", "vitest"),
      ...sample("packages/x/test/A.test.ts", "vitest")
    ])
    assert.deepStrictEqual(found, [
      "packages/x/src/A.ts:1: vitest is not declared by @kafka-once/x"
    ])
  })

  it("are refused when nothing imports them", () => {
    const idle = { ...manifest, dependencies: { kafkajs: "2" } }
    const found = undeclared("packages/x", idle, workspace, used)
    assert.deepStrictEqual(found, ["@kafka-once/x declares kafkajs and never uses it"])
  })

  it.each([...packageFolders, "examples"])("match what %s imports", (folder) => {
    const found = undeclared(folder, readManifest(folder), readManifest(""), imports)
    assert.deepStrictEqual(found, [])
  })
})
