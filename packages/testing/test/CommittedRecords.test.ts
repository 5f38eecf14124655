import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as CommittedRecords from "../src/CommittedRecords.ts"
import * as ChildProcess from "../src/internal/childProcess.ts"
import * as SharedKafka from "../src/SharedKafka.ts"

const program = fileURLToPath(new URL("WriteTransactions.java", import.meta.url))

const text = (value: string) => new TextEncoder().encode(value)

const write = Effect.fnUntraced(function*(topic: string, bulk: number) {
  const kafka = yield* SharedKafka.SharedKafka
  // Its first records are years old, and would be deleted half a minute after the broker's start.
  yield* kafka.createTopic(topic, { partitions: 2, config: { "retention.ms": "-1" } })
  const [bootstrap = ""] = kafka.bootstrapServers
  const args = ["-cp", kafka.classPath, program, bootstrap, topic, String(bulk)]
  const written = yield* ChildProcess.run("java", args)
  assert.strictEqual(written.code, 0, written.errors)
  return { ...kafka, topic }
})

layer(SharedKafka.layer, { timeout: "3 minutes" })("CommittedRecords", (it) => {
  it.effect("a topic that does not exist is refused by name", () =>
    Effect.gen(function*() {
      const kafka = yield* SharedKafka.SharedKafka
      const error = yield* Effect.flip(CommittedRecords.read({ ...kafka, topic: "absent" }))
      assert.strictEqual(error.reason._tag, "RequestRefused")
      assert.include(error.message, `reading the topic "absent"`)
      assert.include(error.message, "there is no topic absent")
    }))

  it.effect("a broker that does not answer is refused within the limit", () =>
    Effect.gen(function*() {
      const { classPath } = yield* SharedKafka.SharedKafka
      const error = yield* Effect.flip(CommittedRecords.read({
        bootstrapServers: ["127.0.0.1:9"],
        classPath,
        topic: "any",
        limit: "1 second"
      }))
      assert.strictEqual(error.reason._tag, "RequestRefused")
      assert.include(error.message, `reading the topic "any" at 127.0.0.1:9`)
      assert.include(error.message, "TimeoutException")
    }))

  it.effect("what was committed is read with nulls, headers and times; nothing else is", () =>
    Effect.gen(function*() {
      const records = yield* CommittedRecords.read(yield* write("records-small", 0))
      assert.deepStrictEqual(records, [
        {
          partition: 0,
          offset: 0n,
          timestamp: 1_700_000_000_000n,
          key: text("key"),
          value: text("värde"),
          headers: [["trace", text("1")], ["trace", text("")], ["empty", null]]
        },
        {
          partition: 0,
          offset: 1n,
          timestamp: 1_700_000_000_001n,
          key: null,
          value: null,
          headers: []
        }
      ])
    }))

  it.effect("60,000 records are all read, and uncommitted ones when asked for", () =>
    Effect.gen(function*() {
      const kafka = yield* write("records-large", 60_000)
      const committed = yield* CommittedRecords.read(kafka)
      assert.strictEqual(committed.length, 60_002)
      const all = yield* CommittedRecords.read({ ...kafka, isolation: "read_uncommitted" })
      // The aborted record and the open one.
      assert.strictEqual(all.length, 60_004)
    }))
})
