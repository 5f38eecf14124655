import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Event } from "../src/History.ts"
import * as HistoryFile from "../src/HistoryFile.ts"
import * as HistoryIndex from "../src/HistoryIndex.ts"
import * as Random from "../src/internal/random.ts"
import * as RecordStamp from "../src/RecordStamp.ts"
import { validWorld } from "./history/validWorld.ts"

const stampOf = (random: Random.Random): RecordStamp.RecordStamp => {
  const hasInput = random.chance(0.5)
  return {
    run: random.int(0, 2 ** 32 - 1),
    process: random.int(0, 65_535),
    session: random.int(0, 65_535),
    transaction: random.int(0, 2 ** 32 - 1),
    index: random.int(0, 65_535),
    count: random.int(0, 65_535),
    inputPartition: hasInput ? random.int(0, 65_534) : -1,
    inputOffset: hasInput ? random.int(0, 2 ** 48 - 1) : -1
  }
}

describe("the stamp of a record", () => {
  it("is read as it was written, in a value of any length from 32 bytes on", () => {
    const random = Random.make(1)
    for (let turn = 0; turn < 1_000; turn++) {
      const stamp = stampOf(random)
      const value = RecordStamp.encode(stamp, random.int(0, 200))
      assert.isAtLeast(value.length, RecordStamp.stampBytes)
      assert.deepStrictEqual(RecordStamp.decode(value), stamp)
    }
  })

  it("does not survive the change of any one bit", () => {
    const value = RecordStamp.encode(stampOf(Random.make(2)), 40)
    for (let bit = 0; bit < value.length * 8; bit++) {
      const changed = Uint8Array.from(value)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      assert.strictEqual(
        RecordStamp.decode(changed),
        bit < 32 ? "foreign" : "corrupt",
        `bit ${bit}`
      )
    }
  })

  it("is not taken for one in a value that has none", () => {
    for (const value of [null, new Uint8Array(), Buffer.from("a"), Buffer.alloc(100, "a")]) {
      assert.strictEqual(RecordStamp.decode(value), "foreign")
    }
  })

  it("is read from a value that lies within other bytes, as in a batch", () => {
    const stamp = stampOf(Random.make(3))
    const within = Buffer.concat([Buffer.alloc(7), RecordStamp.encode(stamp), Buffer.alloc(9)])
    assert.deepStrictEqual(RecordStamp.decode(within.subarray(7, 39)), stamp)
  })

  it("refuses numbers that do not fit", () => {
    const stamp = { ...stampOf(Random.make(4)), session: 65_536 }
    assert.throws(() => RecordStamp.encode(stamp), RangeError)
  })
})

// Few, for many lines of a history are forced to the disk.
const events = validWorld(5, 3).events as ReadonlyArray<Event>

/** A file with the events of a valid world. */
const written = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-history-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const file = join(folder, "history.jsonl")
  yield* Effect.scoped(Effect.gen(function*() {
    const writer = yield* HistoryFile.open(file)
    for (const event of events) writer.write(event)
  }))
  return file
})

const readAll = (file: string) =>
  Effect.gen(function*() {
    const read: Array<Event> = []
    const { torn } = yield* HistoryFile.read(file, (event) => {
      read.push(event)
    })
    return { read, torn }
  })

describe("the file of a history", () => {
  it.effect("is read as it was written", () =>
    Effect.gen(function*() {
      const { read, torn } = yield* readAll(yield* written)
      assert.isFalse(torn)
      assert.isAbove(read.length, 100)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(events)))
    }))

  it.effect("is indexed as the events themselves are", () =>
    Effect.gen(function*() {
      const { transactions } = yield* HistoryIndex.read([yield* written])
      const expected = HistoryIndex.fromEvents(events).transactions
      assert.deepStrictEqual(
        transactions.map(({ first, last, ...rest }) => ({ ...rest, said: last?.outcome ?? first })),
        expected.map(({ first, last, ...rest }) => ({ ...rest, said: last?.outcome ?? first }))
      )
    }))

  it.effect("may end in a torn line wherever its process was killed", () =>
    Effect.gen(function*() {
      const file = yield* written
      const text = readFileSync(file, "utf8")
      const lastLine = text.lastIndexOf("\n", text.length - 2) + 1
      for (let length = text.length - 1; length > lastLine; length--) {
        truncateSync(file, length)
        const { read, torn } = yield* readAll(file)
        assert.isTrue(torn)
        assert.strictEqual(read.length, events.length - 1)
      }
      truncateSync(file, lastLine)
      assert.isFalse((yield* readAll(file)).torn)
    }))

  it.effect.each<readonly [string, string]>([
    ["a line that is no JSON", "{\n"],
    ["a torn line that another follows", '{"_tag":"exit","t":1,\n{}\n'],
    ["an event that there is not", '{"_tag":"enter","t":1,"process":1}\n'],
    ["an event without a field", '{"_tag":"exit","t":1}\n'],
    ["an empty line", "\n"]
  ])("is refused with file and line for %s", ([, line]) =>
    Effect.gen(function*() {
      const file = yield* written
      appendFileSync(file, line)
      const error = yield* Effect.flip(readAll(file))
      assert.strictEqual(error.file, file)
      assert.strictEqual(error.line, events.length + 1)
      assert.include(error.message, `${file}:${events.length + 1}: `)
    }))

  it.effect("is refused where there is none", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(readAll("/nowhere/history.jsonl"))
      assert.include(error.message, "ENOENT")
    }))
})
