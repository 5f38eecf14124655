import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { workNames } from "../src/Arguments.ts"

const program = fileURLToPath(new URL("../src/main.ts", import.meta.url))

/** Runs the program, as its npm script does, and waits for its end. */
const bench = (...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number | null; readonly out: string; readonly err: string }>(
    (resume) => {
      const child = spawn(process.execPath, ["--conditions=@kafka-once/source", program, ...args])
      let [out, err] = ["", ""]
      child.stdout.on("data", (data) => out += data)
      child.stderr.on("data", (data) => err += data)
      child.once("close", (code) => resume(Effect.succeed({ code, out, err })))
      return Effect.sync(() => child.kill("SIGKILL"))
    }
  )

describe("npm run bench", () => {
  it.live("with a wrong flag measures nothing, and ends with code 2 and one error", () =>
    Effect.gen(function*() {
      const { code, err, out } = yield* bench("--work", "warp")
      assert.strictEqual(code, 2)
      assert.strictEqual(out, "")
      assert.deepStrictEqual(err.trimEnd().split("\n"), [
        `--work takes names of ${workNames.join(", ")}; "warp" is none.`,
        "Try npm run bench -- --help"
      ])
    }))

  for (const flag of ["--json", "--chart"]) {
    for (
      const [what, file, why] of [
        ["is in no folder", "/no/such/folder/f", "ENOENT"],
        ["is a folder", tmpdir(), "EISDIR"]
      ] as const
    ) {
      it.live(`with a file for ${flag} that ${what} ends with code 2 before it measures`, () =>
        Effect.gen(function*() {
          const { code, err, out } = yield* bench("--work", "core", flag, file)
          assert.strictEqual(code, 2)
          assert.strictEqual(out, "")
          const [problem, ...rest] = err.trimEnd().split("\n")
          assert.match(problem!, new RegExp(`^${flag}: "${file}" cannot be written \\(${why}`))
          assert.deepStrictEqual(rest, [])
        }))
    }
  }
})
