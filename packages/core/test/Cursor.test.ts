import { assert, describe, it } from "@effect/vitest"
import * as Cursor from "@kafka-once/core/Cursor"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

const { Fault } = DriverDouble

/** What a driver over an old client can do: nothing but the transactional id fences. */
const oldClient = { ...DriverDouble.fullCapabilities, groupFencing: false, stableOffsets: false }

const clients = [
  ["a client with group fencing", DriverDouble.fullCapabilities],
  ["an old client", oldClient]
] as const

const makeCursor = (double: DriverDouble.DriverDouble, producer: Rig.Producer) =>
  Effect.provideService(Cursor.make({ producer, topic: "orders" }), KafkaDriver, double.driver)

const committed = (double: DriverDouble.DriverDouble) =>
  double.broker.committedOffset("orders-0-cursor", { topic: "orders", partition: 0 }).offset

/** Relays the next so many of the numbers 1, 2, 3, ... */
const relay = (count: number) => (position: bigint | null) =>
  Effect.gen(function*() {
    const first = Number(position ?? 0n) + 1
    const ids = Array.from({ length: count }, (_, index) => first + index)
    yield* Transaction.send(ids.map((id) => Rig.record(`${id}`)))
    return BigInt(first + count - 1)
  })

describe.each(clients)("a cursor, over %s", (_name, capabilities) => {
  it.effect("moves with the records, and both are committed", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      assert.strictEqual(yield* cursor.advance(relay(2)), 2n)
      assert.strictEqual(yield* cursor.advance(relay(3)), 5n)
      assert.deepStrictEqual(double.visible(), ["1", "2", "3", "4", "5"])
      assert.strictEqual(committed(double), 5n)
    }))

  it.effect("stays where it was when the transaction aborts", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      yield* cursor.advance(relay(1))
      const error = yield* Effect.flip(
        cursor.advance((position) => Effect.andThen(relay(1)(position), Effect.fail("no")))
      )
      assert.strictEqual(error, "no")
      assert.strictEqual(committed(double), 1n)
      yield* cursor.advance(relay(1))
      assert.deepStrictEqual(double.visible(), ["1", "2"])
    }))

  it.effect("stays where it was when its offsets are refused", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      double.script("sendOffsets", Fault.Answer({ code: 30 }))
      const refused = yield* Effect.exit(cursor.advance(relay(2)))
      assert.deepInclude(Rig.reason(refused, "NotAuthorized"), { resource: "group" })
      assert.deepStrictEqual([committed(double), double.visible()], [null, []])
      yield* cursor.advance(relay(2))
      assert.deepStrictEqual(double.visible(), ["1", "2"])
    }))

  it.effect("a failure that the body has swallowed is the body's to correct", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      double.script("send", Fault.Answer({ code: 10 }))
      const exit = yield* Effect.exit(
        cursor.advance((position) =>
          Effect.catch(relay(2)(position), () => Effect.succeed(position))
        )
      )
      Rig.reason(exit, "TransactionTainted")
      assert.deepStrictEqual([committed(double), double.visible()], [null, []])
    }))

  it.effect("a lost answer to the commit neither loses nor doubles", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      double.script("commit", Fault.ActNoAnswer())
      const { exit } = yield* Rig.timed(cursor.advance(relay(2)))
      assert.strictEqual(exit._tag, "Success")
      yield* cursor.advance(relay(2))
      assert.deepStrictEqual(double.visible(), ["1", "2", "3", "4"])
    }))

  it.effect("after an unknown outcome it goes on from what was committed", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      double.always("commit", Fault.ActNoAnswer())
      // No evidence within the deadline: whether it was committed is not known here.
      double.always("openSession", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(cursor.advance(relay(2)))
      Rig.reason(exit, "CommitOutcomeUnknown")
      double.heal()
      const next = yield* Rig.timed(cursor.advance(relay(2)))
      assert.strictEqual(next.exit._tag, "Success")
      assert.deepStrictEqual(double.visible(), ["1", "2", "3", "4"])
    }))

  it.effect("what another instance has relayed is not relayed again by one that takes over", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const first = yield* makeCursor(double, producer)
      yield* first.advance(relay(2))
      const other = yield* makeCursor(double, yield* Rig.makeProducer(double))
      yield* other.advance(relay(2))
      const { exit } = yield* Rig.timed(first.advance(relay(2)))
      assert.strictEqual(Rig.kafkaError(exit).recovery, "restart")
      assert.deepStrictEqual(double.visible(), ["1", "2", "3", "4"])
    }))

  it.effect("a run that is repeated in a new session is given the position of then", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make({ capabilities })
      // Its own request may still arrive: the first fence that it meets is taken for its own, and
      // the transaction is run again in a new session.
      double.script("initialize", Fault.NoAnswer())
      const { exit: made } = yield* Rig.timed(Rig.makeProducer(double), 10_000)
      assert(Exit.isSuccess(made))
      const cursor = yield* makeCursor(double, made.value)
      yield* cursor.advance(relay(1))
      const given: Array<bigint | null> = []
      const passed = yield* Deferred.make<void>()
      const running = yield* Effect.forkChild(
        Rig.timed(
          cursor.advance(
            (position) => {
              given.push(position)
              const waited = given.length > 1 ? Effect.void : Deferred.await(passed)
              return Effect.andThen(waited, relay(2)(position))
            },
            { retry: Schedule.recurs(1) }
          )
        ),
        { startImmediately: true }
      )
      while (given.length === 0) yield* Effect.yieldNow
      const other = yield* makeCursor(double, yield* Rig.makeProducer(double))
      yield* other.advance(relay(2))
      yield* Deferred.succeed(passed, undefined)
      const { exit } = yield* Fiber.join(running)
      assert.deepStrictEqual([exit._tag, given], ["Success", [1n, 3n]])
      assert.deepStrictEqual(double.visible(), ["1", "2", "3", "4", "5"])
    }))

  it.effect("refuses a position that goes back, and commits nothing of it", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      yield* cursor.advance(relay(3))
      for (const wrong of [2n, -1n, 2n ** 63n, null]) {
        const exit = yield* Effect.exit(
          cursor.advance((position) => Effect.as(relay(1)(position), wrong))
        )
        assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "position")
      }
      assert.deepStrictEqual(double.visible(), ["1", "2", "3"])
      assert.strictEqual(committed(double), 3n)
    }))

  it.effect("keeps every position, from 0 to the largest", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities })
      const cursor = yield* makeCursor(double, producer)
      for (const position of [0n, 1n, 2n ** 63n - 1n]) {
        yield* cursor.advance(() => Effect.succeed(position))
        assert.strictEqual(committed(double), position)
      }
    }))
})

it.effect("an answer that does not know of the last commit yet doubles nothing", () =>
  Effect.gen(function*() {
    const { double, producer } = yield* Rig.make({ capabilities: oldClient })
    const stale = {
      ...double.driver,
      committedOffsets: () =>
        Effect.succeed([{ topic: "orders", partition: 0, offset: null, metadata: null }])
    }
    const cursor = yield* Effect.provideService(
      Cursor.make({ producer, topic: "orders" }),
      KafkaDriver,
      stale
    )
    yield* cursor.advance(relay(2))
    yield* cursor.advance(relay(2))
    assert.deepStrictEqual(double.visible(), ["1", "2", "3", "4"])
  }))

it.effect("a position that cannot be read fails the transaction, and can be tried again", () =>
  Effect.gen(function*() {
    const { double, producer } = yield* Rig.make()
    const cursor = yield* makeCursor(double, producer)
    double.script("committedOffsets", Fault.Answer({ code: 88 }))
    const waited = yield* Rig.timed(cursor.advance(relay(1)))
    assert.strictEqual(waited.exit._tag, "Success")
    double.script("committedOffsets", Fault.Answer({ code: 30 }))
    Rig.reason(yield* Effect.exit(cursor.advance(relay(1))), "NotAuthorized")
    double.script("committedOffsets", Fault.Hang())
    double.always("committedOffsets", Fault.Hang())
    const lost = yield* Rig.timed(cursor.advance(relay(1)))
    assert.strictEqual(Rig.reason(lost.exit, "TimedOut").recovery, "retry")
    assert.isAtMost(lost.millis, 7_000)
    double.heal()
    yield* cursor.advance(relay(1))
    assert.deepStrictEqual(double.visible(), ["1", "2"])
  }))

it.effect("a position that does not move is written again after an hour: Kafka forgets", () =>
  Effect.gen(function*() {
    const { double, producer } = yield* Rig.make()
    const cursor = yield* makeCursor(double, producer)
    const idle = cursor.advance((position) => Effect.succeed(position))
    assert.strictEqual(yield* idle, null)
    assert.strictEqual(double.count("sendOffsets"), 0)
    yield* cursor.advance(relay(1))
    yield* idle
    assert.strictEqual(double.count("sendOffsets"), 1)
    yield* TestClock.adjust(Duration.hours(1))
    assert.strictEqual(yield* idle, 1n)
    yield* idle
    assert.strictEqual(double.count("sendOffsets"), 2)
  }))
