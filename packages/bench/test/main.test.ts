import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

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
        '--work takes names of single, batch, proxy, core; "warp" is none.',
        "Try npm run bench -- --help"
      ])
    }))

  it.live("with a file that cannot be written ends before it measures", () =>
    Effect.gen(function*() {
      const { code, out, err } = yield* bench("--work", "core", "--json", "/no/such/folder/f.json")
      assert.strictEqual(code, 1)
      assert.include(out + err, "--json: Error: ENOENT")
      assert.notInclude(out + err, "contenders")
    }))
})
