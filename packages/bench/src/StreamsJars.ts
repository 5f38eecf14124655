/**
 * The jars of Kafka Streams, which no broker needs: resolved by Maven when the pipelines are
 * measured, and into its own repository only.
 */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Command from "./Command.ts"
import * as JavaProgram from "./JavaProgram.ts"
import * as TemporaryFolder from "./TemporaryFolder.ts"

/** Jars that are there. */
export interface StreamsJars {
  readonly classPath: string
  readonly version: string
}

/** Resolves them; the first time it downloads. */
export const resolve: Effect.Effect<StreamsJars, Error> = Effect.scoped(Effect.gen(function*() {
  const output = join(yield* TemporaryFolder.make, "class-path")
  yield* Command.run("mvn", [
    "--batch-mode",
    "--quiet",
    "--file",
    join(JavaProgram.folder, "pom.xml"),
    "-DincludeScope=runtime",
    `-Dmdep.outputFile=${output}`,
    "dependency:build-classpath"
  ])
  const classPath = readFileSync(output, "utf8").trim()
  const version = versionIn(classPath)
  return version === null
    ? yield* Effect.fail(new Error(`Maven names no jar of Kafka Streams: ${classPath}`))
    : { classPath, version }
}))

/** The version of Streams on a class path. */
export const versionIn = (classPath: string): string | null =>
  /kafka-streams-(\d[\w.-]*)\.jar/.exec(classPath)?.[1] ?? null
