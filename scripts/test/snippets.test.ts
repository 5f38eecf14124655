import { assert, describe, it, layer } from "@effect/vitest"
import * as SharedKafka from "@kafka-once/testing/SharedKafka"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join, normalize } from "node:path"
import { files, read, readManifest, root } from "../repository.ts"
import { fileNameOf, namedFiles, npmScripts, type Snippet, snippetsOf } from "../snippets.ts"
import { isPublicModule } from "../style.ts"

const documents = files.filter((path) => /^([^/]+|docs\/.*|packages\/[^/]+\/[^/]+)\.md$/.test(path))
const snippets = [...documents, ...files.filter(isPublicModule)]
  .flatMap((path) => snippetsOf(path, read(path)))

// Inside the repository, so that the programs find its packages; left out by .gitignore.
const folder = join(root, ".build", "snippets")

/** Writes the snippets as files of a project of their own. */
const write = (all: ReadonlyArray<Snippet>, brokers = "localhost:9092"): void => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const compilerOptions = {
    types: ["node"],
    noEmit: true,
    composite: false,
    incremental: false,
    declaration: false,
    declarationMap: false,
    rewriteRelativeImportExtensions: false,
    allowImportingTsExtensions: true,
    noUnusedLocals: false
  }
  const project = { extends: "../../tsconfig.base.json", include: ["*.ts"], compilerOptions }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project))
  for (const snippet of all) {
    const code = snippet.code.replaceAll("localhost:9092", brokers)
    writeFileSync(join(folder, fileNameOf(snippet)), code)
  }
}

const run = (file: string, args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly ok: boolean; readonly output: string }>((resume) => {
    const options = { cwd: root, timeout: 60_000 }
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      resume(Effect.succeed({ ok: error === null, output: `${stdout}${stderr}`.trim() }))
    })
    return Effect.sync(() => child.kill("SIGTERM"))
  })

const check = (all: ReadonlyArray<Snippet>) =>
  Effect.suspend(() => {
    write(all)
    return run("tsc", ["-p", folder, "--pretty", "false"])
  })

describe("snippetsOf", () => {
  it("finds what is marked, in a document", () => {
    const text = "# A\n\n```ts run\nconst a = 1\n```\n\n```sh\nnpm\n```\n```ts\nb\n```\n"
    assert.deepStrictEqual(snippetsOf("A.md", text), [
      { path: "A.md", line: 4, run: true, code: "const a = 1" },
      { path: "A.md", line: 11, run: false, code: "b" }
    ])
  })

  it("finds examples in docstrings, and no code", () => {
    const text =
      "/**\n * **Example**\n *\n * ```ts\n * f()\n *\n * g()\n * ```\n */\nconst f = `ts`\n"
    assert.deepStrictEqual(snippetsOf("A.ts", text), [
      { path: "A.ts", line: 5, run: false, code: "f()\n\ng()" }
    ])
  })
})

describe("the snippets", () => {
  it.effect(
    "one that does not type-check is found, by its document and line",
    () =>
      Effect.gen(function*() {
        const wrong = { path: "README.md", line: 7, run: false, code: "export const a: string = 1" }
        const { ok, output } = yield* check([wrong])
        assert.isFalse(ok)
        assert.include(output, "README.md-7.ts(1,14)")
      }),
    60_000
  )

  it.effect("all of them type-check", () =>
    Effect.gen(function*() {
      assert.isNotEmpty(snippets)
      assert.deepStrictEqual(yield* check(snippets), { ok: true, output: "" })
    }), 60_000)

  layer(SharedKafka.layer, { timeout: "3 minutes" })((it) => {
    it.effect("those that are whole programs run on a real broker", () =>
      Effect.gen(function*() {
        const { bootstrapServers, createTopic } = yield* SharedKafka.SharedKafka
        // On a cluster of one's own the topic may be there already.
        yield* Effect.ignore(createTopic("orders"))
        const programs = snippets.filter((snippet) => snippet.run)
        assert.isNotEmpty(programs)
        write(programs, bootstrapServers.join(","))
        for (const program of programs) {
          const file = join(folder, fileNameOf(program))
          const { ok, output } = yield* run("node", ["--conditions=@kafka-once/source", file])
          assert.isTrue(ok, `${program.path}:${program.line}: ${output}`)
        }
      }), 120_000)
  })
})

describe("what documents name", () => {
  it("is found in links and in backticks, not in fences", () => {
    const text = "[a](b/c.md#d) [e](https://f.example) `packages/g/h.ts` `i`\n```\n[j](k)\n```\n"
    assert.deepStrictEqual(namedFiles("docs/x.md", text), ["docs/b/c.md", "packages/g/h.ts"])
  })

  it("exists, every file of it", () => {
    const missing = documents.flatMap((path) =>
      namedFiles(path, read(path))
        .filter((named) => !existsSync(join(root, normalize(named))))
        .map((named) => `${path} names ${named}`)
    )
    assert.deepStrictEqual(missing, [])
  })

  it("is an npm script that exists, where it is a command", () => {
    const { scripts = {} } = readManifest("")
    const missing = documents.flatMap((path) =>
      npmScripts(read(path)).filter((name) => !Object.hasOwn(scripts, name))
    )
    assert.deepStrictEqual(missing, [])
  })
})
