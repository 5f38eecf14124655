import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import { publishedFolders, read, readManifest, root } from "../repository.ts"

/** What npm would put into a package, as paths within it. */
const packed = (folder: string): ReadonlyArray<string> => {
  const options = { cwd: join(root, folder), encoding: "utf8", stdio: "pipe" } as const
  const output = execFileSync("npm", ["pack", "--dry-run", "--json", "--loglevel=error"], options)
  const parsed: unknown = JSON.parse(output)
  // npm 10 answers a list, newer ones an object by name.
  const [first] = Object.values(parsed as Record<string, Packed>)
  return first?.files.map(({ path }) => path) ?? []
}

interface Packed {
  readonly files: ReadonlyArray<{ readonly path: string }>
}

const modulesOf = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder, "src"))
    .filter((name) => /^[A-Z]\w*\.ts$/.test(name))
    .map((name) => name.slice(0, -3))

// A build into an empty folder, so that what was renamed or deleted is not published again.
beforeAll(() => {
  for (const folder of publishedFolders) {
    rmSync(join(root, folder, "dist"), { recursive: true, force: true })
    rmSync(join(root, folder, ".build/src.tsbuildinfo"), { force: true })
  }
  execFileSync("tsc", ["-b", "tsconfig.build.json"], { cwd: root, stdio: "inherit" })
}, 120_000)

describe.each([...publishedFolders])("%s as published", (folder) => {
  const manifest = readManifest(folder)
  const modules = modulesOf(folder)

  it("holds each module as JavaScript, types and source, and its papers", () => {
    const files = packed(folder)
    const wanted = [
      "package.json",
      "LICENSE",
      "README.md",
      ...modules.flatMap((name) => [`dist/${name}.js`, `dist/${name}.d.ts`, `src/${name}.ts`])
    ]
    assert.deepStrictEqual(wanted.filter((path) => !files.includes(path)), [])
  }, 30_000)

  it("holds no test, script or build state", () => {
    const stray = packed(folder).filter((path) =>
      /(^|\/)(test|scripts|\.build)\/|tsbuildinfo/.test(path)
    )
    assert.deepStrictEqual(stray, [])
  }, 30_000)

  it("is what publint accepts", () => {
    const { status, stdout, stderr } = spawnSync("publint", ["--strict", folder], {
      cwd: root,
      encoding: "utf8"
    })
    assert.strictEqual(status, 0, `${stdout}${stderr}`)
  }, 30_000)

  it("can be imported by plain Node, every module of it", () => {
    const names = modules.map((name) => `${manifest.name}/${name}`)
    const code = names.map((name) => `await import(${JSON.stringify(name)})`).join("\n")
    const { status, stderr } = spawnSync("node", ["--input-type=module", "--eval", code], {
      cwd: root,
      encoding: "utf8",
      env: { PATH: process.env["PATH"] }
    })
    assert.strictEqual(status, 0, stderr)
  }, 30_000)

  it("keeps its internal modules to itself", () => {
    const internal = join(root, folder, "src/internal")
    const [name = ""] = existsSync(internal)
      ? readdirSync(internal).filter((file) => file.endsWith(".ts"))
      : []
    const specifier = `${manifest.name}/internal/${name.slice(0, -3)}`
    const code = `await import(${JSON.stringify(specifier)})`
    const { stderr } = spawnSync("node", ["--input-type=module", "--eval", code], {
      cwd: root,
      encoding: "utf8"
    })
    assert.include(stderr, "ERR_PACKAGE_PATH_NOT_EXPORTED")
  })

  it("has the repository's licence", () => {
    assert.strictEqual(read(`${folder}/LICENSE`), read("LICENSE"))
  })
})

describe("the published packages", () => {
  it("all have one version, and depend on each other at exactly that", () => {
    const manifests = publishedFolders.map(readManifest)
    for (const { name, version, dependencies = {} } of manifests) {
      assert.strictEqual(version, manifests[0]?.version, name)
      for (const [dependency, range] of Object.entries(dependencies)) {
        if (dependency.startsWith("@kafka-once/")) assert.strictEqual(range, version, name)
      }
    }
  })
})
