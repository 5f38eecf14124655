import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Jars from "../src/internal/jars.ts"
import * as Java from "../src/internal/java.ts"

/** An empty cache while the scope is open, and how often it was filled. */
const emptyCache = Effect.gen(function*() {
  const saved = process.env
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-test-"))),
    (directory) =>
      Effect.sync(() => {
        process.env = saved
        rmSync(directory, { recursive: true })
      })
  )
  process.env = { ...saved, XDG_CACHE_HOME: directory }
  const java = yield* Java.find
  const state = { filled: 0 }
  return {
    state,
    version: () => {
      const versions = join(directory, "kafka-once", "4.4.0")
      return join(versions, readdirSync(versions)[0] ?? "")
    },
    resolve: (archive: Effect.Effect<void> = Effect.void) =>
      Jars.resolve("4.4.0", java, () =>
        Effect.suspend(() => {
          state.filled++
          return archive
        }))
  }
})

describe("the cache of jars", () => {
  it.live("two that need it at once fill it once", () =>
    Effect.gen(function*() {
      const { resolve, state } = yield* emptyCache
      const [one, other] = yield* Effect.all([resolve(), resolve()], { concurrency: 2 })
      assert.deepStrictEqual(one, other)
      assert.strictEqual(state.filled, 1)
      yield* resolve()
      assert.strictEqual(state.filled, 1)
    }))

  it.live("what was cut off is not trusted, and its lock holds nobody up", () =>
    Effect.gen(function*() {
      const { resolve, state, version } = yield* emptyCache
      const cut = yield* Effect.exit(resolve(Effect.die("cut off")))
      assert.isTrue(Exit.isFailure(cut))
      // A process that is gone cannot take its lock away.
      const gone = spawnSync("true").pid
      writeFileSync(join(version(), "lock"), String(gone))
      yield* resolve()
      assert.strictEqual(state.filled, 2)
      assert.notInclude(readdirSync(version()), "lock")
    }))

  it.live("jars that were deleted since are resolved again", () =>
    Effect.gen(function*() {
      const { resolve, state, version } = yield* emptyCache
      yield* resolve()
      const file = join(version(), "class-path")
      writeFileSync(file, `${readFileSync(file, "utf8")}:/nowhere/kafka.jar`)
      const { classPath } = yield* resolve()
      assert.strictEqual(state.filled, 2)
      assert.notInclude(classPath, "/nowhere")
    }))
})
