import { assert, describe, it } from "@effect/vitest"
import * as OptionsContract from "@kafka-once/proof/OptionsContract"
import * as Effect from "effect/Effect"
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { changedIn, firstChanged } from "../src/internal/pinnedFiles.ts"
import * as KafkaJs from "../src/KafkaJs.ts"

OptionsContract.suite("kafkajs", KafkaJs.layer)

describe("the files of kafkajs", () => {
  it.effect("a kafkajs that was patched, or is not there, is refused by the file's name", () =>
    Effect.gen(function*() {
      assert.isNull(yield* firstChanged)
      assert.strictEqual(yield* changedIn(null), "package.json")
      const own = dirname(createRequire(import.meta.url).resolve("kafkajs/package.json"))
      const copy = yield* Effect.acquireRelease(
        Effect.tryPromise(() => mkdtemp(join(tmpdir(), "kafka-once-"))),
        // A copy that cannot be removed fails the test.
        (directory) => Effect.promise(() => rm(directory, { recursive: true }))
      )
      assert.strictEqual(yield* changedIn(copy), "src/broker/index.js")
      yield* Effect.tryPromise(() => cp(join(own, "src"), join(copy, "src"), { recursive: true }))
      assert.isNull(yield* changedIn(copy))
      const patched = "src/producer/sendMessages.js"
      yield* Effect.tryPromise(() => writeFile(join(copy, patched), "module.exports = () => {}"))
      assert.strictEqual(yield* changedIn(copy), patched)
    }))
})
