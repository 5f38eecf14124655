import { assert, describe, it } from "@effect/vitest"
import type { ProducerRecord } from "@kafka-once/core/ProducerRecord"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Fault, text } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

const forkNow = { startImmediately: true } as const
const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`)

/** Sends each value on its own, all at once. */
const sendEach = (transaction: Rig.Open, values: ReadonlyArray<string>) =>
  Effect.forEach(values, (value) => transaction.send([Rig.record(value)]), {
    concurrency: "unbounded"
  })

describe("sending that fails", () => {
  for (const [name, form] of Rig.forms) {
    it.effect(`is waited for though the body ended, and decides, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.script("send", Fault.Delay({ by: "2 seconds" }))
        const { exit, millis } = yield* Rig.timed(
          form(
            producer,
            (transaction) => Effect.forkDetach(transaction.send([Rig.record("a")]), forkNow)
          )
        )
        assert(Exit.isSuccess(exit))
        assert.strictEqual(millis, 2_000)
        assert.deepStrictEqual(double.visible(), ["a"])
        double.script("send", Fault.Answer({ code: 10 }))
        const failed = yield* Effect.exit(
          form(
            producer,
            (transaction) => Effect.forkDetach(transaction.send([Rig.record("b")]), forkNow)
          )
        )
        Rig.reason(failed, "TransactionTainted")
        assert.deepStrictEqual(double.visible(), ["a"])
      }))

    it.effect("keep the order of their calls, however long each asks for its topic", () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.script("partitionCount", Fault.Delay({ by: "100 millis" }))
        const { exit } = yield* Rig.timed(
          Rig.scopeForm(producer, (transaction) =>
            Effect.all(
              ["a", "b", "c"].map((value) => transaction.send([Rig.record(value)])),
              {
                concurrency: "unbounded"
              }
            ))
        )
        assert(Exit.isSuccess(exit))
        assert.deepStrictEqual(double.visible(), ["a", "b", "c"])
      }))

    it.effect(`is not left out of a commit while its topic is still looked up, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make({ topics: { orders: 3, audit: 1 } })
        yield* form(producer, (transaction) => transaction.send([Rig.record("first")]))
        double.script("partitionCount", Fault.Hang())
        const { exit, millis } = yield* Rig.timed(form(producer, (transaction) =>
          Effect.andThen(
            transaction.send([Rig.record("second")]),
            Effect.forkDetach(transaction.send([{ topic: "audit", value: "lost" }]), forkNow)
          )))
        const { first, retryable } = Rig.reason(exit, "TransactionTainted")
        assert.include(first, "had not settled")
        assert.isTrue(retryable)
        assert.isAtMost(millis, 25_000)
        assert.deepStrictEqual(double.visible(), ["first"])
      }))

    it.effect(`after its transaction has ended reaches no other one, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.script("partitionCount", Fault.Hang())
        let stray: Fiber.Fiber<unknown, unknown> | undefined
        const first = yield* Effect.exit(
          form(
            producer,
            (transaction) =>
              Effect.forkDetach(transaction.send([{ topic: "audit", value: "stray" }]), forkNow)
                .pipe(
                  Effect.tap((fiber) => {
                    stray = fiber
                    return Effect.void
                  }),
                  Effect.andThen(Effect.fail("own"))
                )
          )
        )
        Rig.failsWith(first, "own")
        // The lookup's time is over while the next transaction is open.
        const { exit } = yield* Rig.timed(
          form(
            producer,
            (transaction) =>
              Effect.andThen(transaction.send([Rig.record("next")]), Effect.sleep("6900 millis"))
          )
        )
        assert(Exit.isSuccess(exit))
        Rig.kafkaError(yield* Fiber.await(stray!))
        assert.deepStrictEqual(double.visible(), ["next"])
      }))

    it.effect(`because it is interrupted taints, and the session stays good, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        const latch = yield* Deferred.make<void>()
        double.script("send", Fault.Gate({ latch }))
        const exit = yield* Effect.exit(form(producer, (transaction) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(transaction.send([Rig.record("a")]), forkNow)
            yield* Effect.yieldNow
            yield* Fiber.interrupt(fiber)
            yield* Deferred.succeed(latch, undefined)
          })))
        assert.include(Rig.reason(exit, "TransactionTainted").first, "interrupted")
        assert.deepStrictEqual(double.visible(), [])
        assert.strictEqual(double.count("initialize"), 1)
        yield* form(producer, (transaction) => transaction.send([Rig.record("b")]))
        assert.deepStrictEqual(double.visible(), ["b"])
      }))
  }

  it.effect("is repeated with exactly the same batches, and takes no other one along", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.ActNoAnswer())
      double.script("send", Fault.Answer({ code: 6 }))
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) =>
          Effect.gen(function*() {
            const first = yield* Effect.forkChild(transaction.send([Rig.record("a")]), forkNow)
            yield* Effect.yieldNow
            yield* transaction.send([Rig.record("b")])
            yield* Fiber.join(first)
          }))
      )
      assert(Exit.isSuccess(exit))
      const sent = double.calls.filter(({ operation }) => operation === "send")
      assert.deepStrictEqual(
        sent.map(({ batches }) => batches.map(({ records }) => records.map((r) => text(r.value)))),
        [[["a"]], [["a"]], [["a"]], [["b"]]]
      )
      assert.strictEqual(sent[0]!.batches[0]!.records, sent[2]!.batches[0]!.records)
      assert.deepStrictEqual(double.visible(), ["a", "b"])
    }))

  it.effect("in one partition sends the others' batches once", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 6, partition: 1 }))
      const { exit } = yield* Rig.timed(Rig.scopeForm(producer, (transaction) =>
        transaction.send([Rig.record("a"), Rig.record("b", 1)])))
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(double.written(), ["a", "b"])
      assert.strictEqual(double.calls.at(-2)!.batches.length, 1)
    }))

  it.effect("for longer than the delivery timeout ends with TimedOut, and what waits with it", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ producer: { maxRequestRecords: 1 } })
      double.always("send", Fault.Hang())
      const { exit, millis } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => sendEach(transaction, numbers(40)))
      )
      assert.strictEqual(millis, 6_500)
      assert.strictEqual(Rig.reason(exit, "TimedOut").afterMillis, 6_500)
      assert.strictEqual(double.count("send"), 1)
    }))

  it.effect("in a batch that stays corrupt names the batch and not a timeout", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.always("send", Fault.Answer({ code: 2 }))
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("a")]))
      )
      assert.strictEqual(Rig.reason(exit, "RecordRejected").name, "CORRUPT_MESSAGE")
    }))

  it.effect("to a topic that does not exist says so after its deadline", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const { exit, millis } = yield* Rig.timed(
        Rig.scopeForm(
          producer,
          (transaction) => transaction.send([{ topic: "nowhere", value: "a" }])
        )
      )
      assert.strictEqual(Rig.reason(exit, "UnknownTopic").topic, "nowhere")
      assert.isAtMost(millis, 7_000)
      const partition = yield* Effect.exit(
        Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("a", 3)]))
      )
      assert.strictEqual(Rig.reason(partition, "UnknownTopic").partition, 3)
    }))

  it.effect("to a partition that its topic got a moment ago goes there at once", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const to = (partition: number) =>
        Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("a", partition)]))
      yield* to(0)
      double.broker.createTopic("orders", 4)
      const [record] = yield* to(3)
      assert.strictEqual(record?.partition, 3)
    }))

  it.effect("offsets of two generations of a group in one transaction is refused", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const of = (generationId: number) => Offsets.make(1n, { generationId })
      const exit = yield* Effect.exit(
        Rig.scopeForm(
          producer,
          (transaction) =>
            Effect.andThen(transaction.sendOffsets(of(1)), transaction.sendOffsets(of(2)))
        )
      )
      Rig.reason(exit, "ConsumerFenced")
      assert.strictEqual(double.count("sendOffsets"), 0)
    }))
})

const invalid: ReadonlyArray<readonly [problem: string, record: unknown]> = [
  ["not a record", null],
  ["not a record", undefined],
  ["not a record", "canary"],
  ["name is empty", { topic: "", value: "canary" }],
  ["name is empty", { topic: 5, value: "canary" }],
  ["name is empty", { topic: Object.create(null), value: "canary" }],
  ["cannot be", { topic: ".", value: "canary" }],
  ["cannot be", { topic: "..", value: "canary" }],
  ["letters, digits", { topic: "a b", value: "canary" }],
  ["letters, digits", { topic: "a/b", value: "canary" }],
  ["letters, digits", { topic: "ü", value: "canary" }],
  ["250 characters", { topic: "x".repeat(250), value: "canary" }],
  ["no value", { topic: "orders" }],
  ["value must be", { topic: "orders", value: 5 }],
  ["value must be", { topic: "orders", value: { canary: 1 } }],
  ["key must be", { topic: "orders", key: 5, value: "canary" }],
  ["partition must be", { topic: "orders", value: "canary", partition: -1 }],
  ["partition must be", { topic: "orders", value: "canary", partition: 1.5 }],
  ["partition must be", { topic: "orders", value: "canary", partition: "canary" }],
  ["partition must be", { topic: "orders", value: "canary", partition: 2 ** 31 }],
  ["timestamp must be", { topic: "orders", value: "canary", timestamp: 5 }],
  ["timestamp must be", { topic: "orders", value: "canary", timestamp: -1n }],
  ["timestamp must be", { topic: "orders", value: "canary", timestamp: 2n ** 63n }],
  ["timestamp must be", { topic: "orders", value: "canary", timestamp: "canary" }],
  ["headers must be", { topic: "orders", value: "canary", headers: "canary" }],
  ["headers must be", { topic: "orders", value: "canary", headers: null }],
  ['"trace" must be', { topic: "orders", value: "canary", headers: { trace: null } }],
  ['"trace" must be', { topic: "orders", value: "canary", headers: { trace: ["a", null] } }],
  ['"trace" must be', { topic: "orders", value: "canary", headers: [["trace", null]] }],
  ['"trace" must be', { topic: "orders", value: "canary", headers: { trace: 5 } }],
  ['"name" must be', { topic: "orders", value: "canary", headers: [["name"], "canary"] }],
  ["pair of a name", { topic: "orders", value: "canary", headers: ["canary"] }]
]

describe("a record that cannot be sent", () => {
  for (const [i, [problem, record]] of invalid.entries()) {
    it.effect(`fails before anything is written: ${problem} (${i})`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        const exit = yield* Effect.exit(Rig.scopeForm(producer, (transaction) =>
          transaction.send([Rig.record("good"), record as ProducerRecord])))
        const reason = Rig.reason(exit, "InvalidRecord")
        assert.strictEqual(reason.index, 1)
        assert.include(reason.problem, problem)
        assert.notInclude(`${reason.message} ${JSON.stringify(reason)}`, "canary")
        assert.deepStrictEqual(double.written(), [])
        assert.strictEqual(double.count("send"), 0)
      }))
  }

  it.effect("taints the transaction also where the body catches it", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const exit = yield* Effect.exit(Rig.scopeForm(producer, (transaction) =>
        Effect.andThen(
          transaction.send([Rig.record("good")]),
          Effect.ignore(transaction.send([{ topic: "", value: "bad" }]))
        )))
      Rig.reason(exit, "TransactionTainted")
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("because it is no array of records fails at once", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      for (const wrong of [Rig.record("a"), undefined, null, "canary"]) {
        const { exit } = yield* Rig.timed(
          Rig.scopeForm(producer, (transaction) => transaction.send(wrong as never))
        )
        Rig.reason(exit, "InvalidRecord")
      }
    }))
})

describe("sending", () => {
  it.effect("many at once travels in few requests, in order", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const values = numbers(500)
      const sent = yield* Rig.scopeForm(producer, (transaction) => sendEach(transaction, values))
      assert.isAtMost(double.count("send"), 3)
      assert.deepStrictEqual(double.visible(), values)
      assert.deepStrictEqual(sent.map(([one]) => one!.offset), values.map((value) => BigInt(value)))
    }))

  it.effect("is bounded by the records of one request", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ producer: { maxRequestRecords: 10 } })
      const values = numbers(95)
      yield* Rig.scopeForm(producer, (transaction) =>
        transaction.send(values.map((value) => Rig.record(value))))
      const sizes = double.calls.flatMap(({ batches }) =>
        batches.map((b) => b.records.length)
      )
      assert.deepStrictEqual(sizes, [10, 10, 10, 10, 10, 10, 10, 10, 10, 5])
      assert.deepStrictEqual(double.visible(), values)
    }))

  it.effect("is bounded by the bytes of one request, and a larger record goes alone", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ producer: { maxRequestBytes: 1_000 } })
      const values = ["x".repeat(400), "y".repeat(400), "z".repeat(5_000), "w"]
      yield* Rig.scopeForm(
        producer,
        (transaction) => transaction.send(values.map((value) => Rig.record(value)))
      )
      const sizes = double.calls.flatMap(({ batches }) => batches.map((b) => b.records.length))
      assert.deepStrictEqual(sizes, [2, 1, 1])
      assert.deepStrictEqual(double.visible(), values)
    }))

  it.effect("waits while more is pending than may be", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({
        producer: { maxPendingBytes: 2_000 }
      })
      const latch = yield* Deferred.make<void>()
      double.script("send", Fault.Gate({ latch }))
      const values = Array.from({ length: 20 }, (_, i) => `${i} `.padEnd(600, "."))
      yield* Rig.scopeForm(producer, (transaction) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(sendEach(transaction, values), forkNow)
          yield* Effect.yieldNow
          yield* Deferred.succeed(latch, undefined)
          yield* Fiber.join(fiber)
        }))
      assert.deepStrictEqual(double.visible(), values)
      const largest = Math.max(
        ...double.calls.flatMap(({ batches }) => batches.map(({ records }) => records.length))
      )
      // As many as fit, and the one that goes past the bound.
      assert.isAtMost(largest, 4)
    }))

  it.effect("keeps keys, headers, timestamps and tombstones as they are", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ topics: { audit: 1 } })
      yield* TestClock.setTime(1_234)
      const [first, second] = yield* Rig.scopeForm(producer, (transaction) =>
        transaction.send([
          { topic: "audit", key: "k", value: null, headers: { a: ["1", "2"], b: "3" } },
          {
            topic: "audit",
            key: new Uint8Array([0, 255]),
            value: new Uint8Array([1]),
            timestamp: 99n,
            headers: [["x", "1"], ["y", "2"], ["x", "3"]]
          }
        ]))
      const records = double.broker.visible().map(({ record }) => record)
      assert.isNull(records[0]!.value)
      assert.deepStrictEqual(
        records.map(({ headers }) => headers.map(([name, value]) => `${name}=${text(value)}`)),
        [["a=1", "a=2", "b=3"], ["x=1", "y=2", "x=3"]]
      )
      assert.deepStrictEqual([...records[1]!.key!], [0, 255])
      assert.deepStrictEqual([first!.timestamp, second!.timestamp], [1_234n, 99n])
      assert.deepStrictEqual([first!.offset, second!.offset], [0n, 1n])
    }))

  it.effect("partitions by key as the Java client does", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make({ topics: { orders: 10 } })
      const [sent] = yield* Rig.scopeForm(producer, (transaction) =>
        transaction.send([{ topic: "orders", key: "foobar", value: "" }]))
      assert.strictEqual(sent!.partition, (-790332482 & 0x7fffffff) % 10)
    }))

  it.effect("a record that the broker has already is done, at an offset it does not tell", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 46 }))
      yield* Rig.scopeForm(
        producer,
        (transaction) =>
          Effect.map(
            transaction.send([Rig.record("a")]),
            ([sent]) => assert.strictEqual(sent!.offset, -1n)
          )
      )
      // The client's sequences may be behind: the next transaction has a session of its own.
      yield* Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("b")]))
      assert.strictEqual(double.count("openSession"), 2)
    }))

  it.effect("a stream through the sink pulls no faster than the broker acknowledges", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      let pulled = 0
      double.script("send", Fault.Hang(), 3)
      const records = Stream.range(1, 100).pipe(
        Stream.rechunk(1),
        Stream.map((n) => {
          pulled = n
          return Rig.record(`${n}`)
        })
      )
      const { exit } = yield* Rig.timed(
        Stream.run(records, Transaction.sink).pipe(producer.withTransaction())
      )
      Rig.kafkaError(exit)
      assert.isAtMost(pulled, 4)
      assert.deepStrictEqual(double.visible(), [])
      yield* Stream.run(records, Transaction.sink).pipe(producer.withTransaction())
      assert.lengthOf(double.visible(), 100)
    }))
})
