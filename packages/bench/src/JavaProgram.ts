/**
 * The programs of this package's folder `java`: compiled with what they share, so that the memory
 * of a contender is not that of a compiler.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Command from "./Command.ts"
import * as TemporaryFolder from "./TemporaryFolder.ts"

/** The folder of their sources. */
export const folder = fileURLToPath(new URL("../java/", import.meta.url))

/** A program that is ready: a command and its arguments, after which its own ones come. */
export interface JavaProgram {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** Compiles a class and those that it uses, on the jars of a class path. */
export const compile = (
  name: string,
  classPath: string
): Effect.Effect<JavaProgram, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const classes = yield* TemporaryFolder.make
    yield* Command.run(tool("javac"), [
      "-proc:none",
      "-d",
      classes,
      "-cp",
      classPath,
      "-sourcepath",
      folder,
      join(folder, `${name}.java`)
    ])
    return {
      command: tool("java"),
      args: [
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
        [classes, classPath].join(delimiter),
        name
      ]
    }
  })

/** Of `JAVA_HOME` where it is set, else of the `PATH`. */
const tool = (name: string): string => {
  const home = process.env["JAVA_HOME"]
  return home === undefined || home === "" ? name : join(home, "bin", name)
}
