/** The files of this repository and the manifests of its packages, for the checks beside it. */
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

/** What is tracked and what is about to be; not what .gitignore leaves out, nor deleted files. */
export const files: ReadonlyArray<string> = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard"],
  { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 }
)
  .trim()
  .split("\n")
  .filter((path) => existsSync(`${root}${path}`))

export const read = (path: string): string => readFileSync(`${root}${path}`, "utf8")

/** Source that people write: generated files are checked by their generator. */
export const sources: ReadonlyArray<string> = files.filter((path) =>
  /\.(ts|mjs)$/.test(path) && !path.includes("/generated/")
)

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly files?: ReadonlyArray<string>
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

export const readManifest = (folder: string): Manifest =>
  JSON.parse(read(folder === "" ? "package.json" : `${folder}/package.json`)) as Manifest

/** The folders of the workspace packages, for example `packages/core`. */
export const packageFolders: ReadonlyArray<string> = readdirSync(`${root}packages`)
  .map((name) => `packages/${name}`)
  .filter((folder) => existsSync(`${root}${folder}/package.json`))

export const publishedFolders: ReadonlyArray<string> = packageFolders.filter((folder) =>
  readManifest(folder).private !== true
)
