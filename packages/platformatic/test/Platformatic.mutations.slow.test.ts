/** Ten thousand answers with something wrong in their bytes. */
import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import { Writer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Platformatic from "../src/Platformatic.ts"
import * as BadServer from "./badServer.ts"

const seed = Number(process.env["KAFKA_ONCE_SEED"] ?? 1)
const wanted = 10_000
const workers = 50

/** Numbers from 0 to 1, the same ones for a seed (mulberry32). */
const dice = (from: number) => {
  let state = from
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Flips bytes, cuts off, or puts something in between. */
const mutate = (bytes: Buffer, next: () => number): Buffer => {
  const at = Math.floor(next() * bytes.length)
  const kind = next()
  if (kind < 0.6) {
    const changed = Buffer.from(bytes)
    for (let flips = 1 + Math.floor(next() * 4); flips > 0; flips--) {
      changed[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
    }
    return changed
  }
  if (kind < 0.8) return bytes.subarray(0, at)
  const more = Buffer.from(Array.from({ length: 1 + at % 16 }, () => Math.floor(next() * 256)))
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)])
}

/** What a good broker would answer. */
const goodAnswer = (asked: BadServer.Asked): Buffer | null => {
  const writer = Writer.create()
  const port = Number(asked.socket.localPort)
  switch (asked.key) {
    case 18:
      return BadServer.apiVersions(asked)
    case 10:
      writer.appendInt8(0).appendInt32(0).appendInt16(0).appendString(null).appendInt32(1)
        .appendString("127.0.0.1").appendInt32(port)
      break
    case 22:
      writer.appendInt8(0).appendInt32(0).appendInt16(0).appendInt64(7n).appendInt16(0)
      break
    case 3:
      return BadServer.metadata(asked, "topic")
    case 24:
      writer.appendInt8(0).appendInt32(0).appendArray(
        ["topic"],
        (writer, name) =>
          writer.appendString(name).appendArray(
            [0],
            (writer, id) => writer.appendInt32(id).appendInt16(0)
          )
      )
      break
    case 0:
      writer.appendInt8(0).appendArray(
        ["topic"],
        (writer, name) =>
          writer.appendString(name).appendArray(
            [0],
            (writer, id) =>
              writer.appendInt32(id).appendInt16(0).appendInt64(5n).appendInt64(-1n).appendInt64(0n)
                .appendArray([], () => {}).appendString(null)
          )
      ).appendInt32(0)
      break
    case 26:
      writer.appendInt8(0).appendInt32(0).appendInt16(0)
      break
    default:
      return null
  }
  return BadServer.framed(asked, writer.appendTaggedFields())
}

const program = Effect.gen(function*() {
  const { partitionCount } = yield* KafkaDriver
  yield* partitionCount("topic")
  const { session } = yield* DriverSteps.open("mutated", { requestTimeoutMillis: 100 })
  yield* session.begin
  yield* DriverSteps.sendOnce(session, DriverSteps.batch("topic", 0, "a"))
  yield* session.end("commit")
})

describe(`answers that are mutated, seed ${seed}`, () => {
  it.live("the server is good where nothing is mutated", () =>
    Effect.gen(function*() {
      const server = yield* BadServer.listen(goodAnswer)
      yield* program.pipe(
        Effect.scoped,
        Effect.provide(Platformatic.layer({ brokers: [server.address] }))
      )
    }).pipe(Effect.scoped))

  it.live("each is told in bounded time, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const next = dice(seed)
      let mutated = 0
      const server = yield* BadServer.listen((asked) => {
        const good = goodAnswer(asked)
        if (good === null || next() < 0.6) return good
        mutated += 1
        return mutate(good, next)
      })
      const told = new Map<string, number>()
      const once = program.pipe(
        Effect.scoped,
        Effect.matchEffect({
          onSuccess: () => Effect.succeed("done"),
          onFailure: (error) =>
            Effect.succeed(error._tag === "DriverError" ? DriverSteps.told(error) : error._tag)
        }),
        Effect.provide(Platformatic.layer({
          brokers: [server.address],
          requestTimeout: "100 millis",
          connectionTimeout: "100 millis"
        })),
        // Many retries of the test's own, each bounded by the request's time.
        Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.succeed("too long") }),
        Effect.map((what) => told.set(what, (told.get(what) ?? 0) + 1))
      )
      const worker: Effect.Effect<void, Platformatic.PlatformaticError> = Effect.suspend(() =>
        mutated >= wanted ? Effect.void : Effect.andThen(once, worker)
      )
      const before = process.memoryUsage().rss
      yield* Effect.forEach(Array.from({ length: workers }), () => worker, {
        concurrency: "unbounded"
      })
      yield* DriverSteps.until(Effect.sync(server.open), (open) => open === 0)
      assert.strictEqual(server.open(), 0)
      assert.isUndefined(told.get("too long"), JSON.stringify([...told]))
      assert.isAbove(told.get("done") ?? 0, 0)
      // Most kinds of failure have been met.
      assert.isAbove(told.size, 10, JSON.stringify([...told]))
      assert.isBelow(process.memoryUsage().rss - before, 300 * 1024 * 1024)
    }).pipe(Effect.scoped), 600_000)
})
