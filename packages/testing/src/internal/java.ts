/**
 * Finds the Java that runs the broker.
 */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as EmbeddedKafkaError from "../EmbeddedKafkaError.ts"
import * as ChildProcess from "./childProcess.ts"

const requiredVersion = 17

/** A Java that is new enough; `build` tells two builds of one version apart. */
export interface Java {
  readonly command: string
  readonly home: string
  readonly build: string
}

/** `JAVA_HOME` if it is set, else the `java` of the `PATH`. */
export const find: Effect.Effect<Java, EmbeddedKafkaError.EmbeddedKafkaError> = Effect.gen(
  function*() {
    const home = process.env["JAVA_HOME"]
    const command = home === undefined || home === "" ? "java" : join(home, "bin", "java")
    const finished = yield* ChildProcess.run(command, ["-XshowSettings:properties", "-version"])
    const text = `${finished.errors}\n${finished.output}`
    const version = majorVersion(text)
    if (version !== null && version < requiredVersion) {
      return yield* EmbeddedKafkaError.make(
        new EmbeddedKafkaError.JavaTooOld({ command, found: version, required: requiredVersion })
      )
    }
    const foundHome = property(text, "java.home")
    if (finished.code !== 0 || version === null || foundHome === null) {
      const detail = finished.failure ?? `it ended with code ${finished.code} and said ` +
          JSON.stringify(text.trim().slice(0, 200))
      return yield* EmbeddedKafkaError.make(new EmbeddedKafkaError.NoJava({ command, detail }))
    }
    return {
      command,
      home: foundHome,
      build: property(text, "java.vm.version") ?? String(version)
    }
  }
)

/** 8 for "1.8.0_402", 17 for "17.0.15". */
const majorVersion = (text: string): number | null => {
  const match = /version "(?:1\.)?(\d+)/.exec(text)
  return match === null ? null : Number(match[1])
}

const property = (text: string, name: string): string | null => {
  const line = text.split("\n").find((line) => line.trim().startsWith(`${name} = `))
  return line === undefined ? null : line.slice(line.indexOf(" = ") + 3).trim()
}
