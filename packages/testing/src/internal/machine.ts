/**
 * What a launcher runs on: Java, the jars, and a directory that goes with the scope.
 */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ClassArchive from "./classArchive.ts"
import * as Files from "./files.ts"
import * as Jars from "./jars.ts"
import * as Java from "./java.ts"

export interface Machine {
  readonly java: Java.Java
  readonly jars: Jars.Jars
  readonly directory: string
  /** What the owner and the launcher know each other by. */
  readonly secret: string
}

/** Also answers where nothing is cached yet; that takes longer, and it says so. */
export const prepare = Effect.fnUntraced(function*(version: string) {
  const java = yield* Java.find
  const jars = yield* Jars.resolve(
    version,
    java,
    (classPath, path) => ClassArchive.make(java, classPath, path)
  )
  const directory = yield* Effect.acquireRelease(
    Files.attempt("making a directory", () => mkdtemp(join(tmpdir(), "kafka-once-"))),
    (directory) => Effect.ignore(Files.remove(directory), { log: "Warn" })
  )
  const secret = randomBytes(16).toString("hex")
  return { java, jars, directory, secret } satisfies Machine
})
