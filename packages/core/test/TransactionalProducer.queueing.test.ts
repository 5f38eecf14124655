import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

/** Holds the producer's one transaction until the latch opens. */
const occupy = (producer: Rig.Producer) =>
  Effect.gen(function*() {
    const latch = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkChild(
      Rig.scopeForm(producer, () => Deferred.await(latch)),
      { startImmediately: true }
    )
    return { release: Effect.andThen(Deferred.succeed(latch, undefined), Fiber.join(fiber)) }
  })

const fork = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.forkChild(self, { startImmediately: true })

describe.each(Rig.forms)("callers that wait for a turn, %s", (_name, form) => {
  it.effect("past their number fail at once with Busy", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make({ producer: { maxWaiting: 2 } })
      const held = yield* occupy(producer)
      const waiting = yield* Effect.forEach([1, 2], () => fork(form(producer, () => Effect.void)))
      assert.strictEqual((yield* producer.status).waiting, 2)
      const { exit, millis } = yield* Rig.timed(form(producer, () => Effect.void), 0)
      const busy = Rig.reason(exit, "Busy")
      assert.strictEqual(busy.waiting, 2)
      assert.strictEqual(millis, 0)
      yield* held.release
      yield* Effect.forEach(waiting, Fiber.join)
      assert.strictEqual((yield* producer.status).waiting, 0)
    }))

  it.effect("longer than they may fail with Busy, and lose no permit", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const held = yield* occupy(producer)
      const { exit, millis } = yield* Rig.timed(form(producer, () => Effect.void), 40_000)
      assert.strictEqual(Rig.reason(exit, "Busy").waitedMillis, 30_000)
      assert.strictEqual(millis, 30_000)
      yield* held.release
      yield* form(producer, () => Effect.void)
    }))

  it.effect("get it in the order of asking", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const held = yield* occupy(producer)
      const names = Array.from({ length: 20 }, (_, i) => `${i}`)
      const waiting = yield* Effect.forEach(names, (name) =>
        fork(form(producer, (transaction) => transaction.send([Rig.record(name)]))))
      yield* held.release
      // A latecomer does not overtake those that wait.
      yield* form(producer, (transaction) =>
        transaction.send([Rig.record("late")]))
      yield* Effect.forEach(waiting, Fiber.join)
      assert.deepStrictEqual(double.visible(), [...names, "late"])
    }))

  it.effect("and are interrupted give their turn to the next one", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      for (let i = 0; i < 30; i++) {
        const held = yield* occupy(producer)
        const first = yield* fork(form(producer, () => Effect.void))
        const second = yield* fork(form(producer, () => Effect.void))
        const releasing = yield* fork(held.release)
        // The interruption meets every moment of the hand-over.
        for (let step = 0; step < i % 6; step++) yield* Effect.yieldNow
        yield* Fiber.interrupt(first)
        yield* Fiber.join(second)
        yield* Fiber.join(releasing)
        const status = yield* producer.status
        assert.strictEqual(status.waiting, 0)
        assert.strictEqual(status.state, "Ready")
      }
    }))

  it.effect("and time out in the moment of their turn give it back", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make({ producer: { maxWaitingTime: "1 second" } })
      const holder = yield* fork(Rig.scopeForm(producer, () => Effect.sleep("1 second")))
      const waiter = yield* fork(Effect.exit(form(producer, () => Effect.void)))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(holder)
      yield* Fiber.join(waiter)
      yield* form(producer, () => Effect.void)
      assert.strictEqual((yield* producer.status).waiting, 0)
    }))
})

describe("a begin inside a transaction", () => {
  it.effect("in the same scope fails typed at once", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const { exit, millis } = yield* Rig.timed(
        Effect.scoped(Effect.andThen(producer.begin(), producer.begin())),
        0
      )
      Rig.reason(exit, "NestedTransaction")
      assert.strictEqual(millis, 0)
      yield* Rig.scopeForm(producer, () => Effect.void)
    }))

  for (const [name, form] of Rig.forms) {
    it.effect(`with one of the same producer in context fails typed at once, ${name}`, () =>
      Effect.gen(function*() {
        const { producer } = yield* Rig.make()
        const { exit, millis } = yield* Rig.timed(
          form(producer, () => Effect.void).pipe(producer.withTransaction()),
          0
        )
        Rig.reason(exit, "NestedTransaction")
        assert.strictEqual(millis, 0)
        yield* form(producer, () => Effect.void)
      }))
  }

  it.effect("of a different producer works", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const other = yield* Rig.makeProducer(double, { transactionalId: "other-0" })
      yield* Transaction.send([Rig.record("inner")]).pipe(
        other.withTransaction(),
        Effect.andThen(Transaction.send([Rig.record("outer", 1)])),
        producer.withTransaction()
      )
      assert.sameMembers([...double.visible()], ["inner", "outer"])
    }))

  it.effect("whose outer one has ended works", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const context = yield* Effect.map(Transaction.Transaction, (open) => open).pipe(
        producer.withTransaction()
      )
      yield* Effect.provideService(
        producer.withTransaction(Effect.void),
        Transaction.Transaction,
        context
      )
    }))
})

describe("a producer that is closed", () => {
  it.effect("under an open transaction lets it settle first", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(Rig.makeProducer(double), scope)
      const latch = yield* Deferred.make<void>()
      const fiber = yield* fork(Rig.bracketForm(producer, (transaction) =>
        Effect.andThen(transaction.send([Rig.record("a")]), Deferred.await(latch))))
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(closing)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(double.visible(), ["a"])
      assert.strictEqual(double.operations().at(-1), "close")
    }))

  it.effect("refuses what its open transaction still sends, and does not commit the rest", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(Rig.makeProducer(double), scope)
      const latch = yield* Deferred.make<void>()
      const fiber = yield* fork(
        Rig.bracketForm(producer, (transaction) =>
          transaction.send([Rig.record("a")]).pipe(
            Effect.andThen(Deferred.await(latch)),
            Effect.andThen(Effect.ignore(transaction.send([Rig.record("b")])))
          ))
      )
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(closing)
      Rig.reason(yield* Fiber.await(fiber), "TransactionTainted")
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("under a transaction that never ends fences it, in bounded time", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(
        Rig.makeProducer(double, {
          transactionTimeout: "100 seconds",
          deliveryTimeout: "60 seconds"
        }),
        scope
      )
      double.script("send", Fault.Hang(), 2)
      const fiber = yield* fork(
        Rig.scopeForm(producer, (transaction) =>
          transaction.send([Rig.record("a")]).pipe(
            Effect.andThen(Effect.sleep("4 seconds")),
            Effect.andThen(Effect.exit(transaction.send([Rig.record("b")]))),
            Effect.andThen(Effect.sleep("60 seconds")),
            Effect.andThen(Effect.exit(transaction.send([Rig.record("c")])))
          ))
      )
      const waiter = yield* fork(Effect.exit(Rig.scopeForm(producer, () => Effect.void)))
      yield* TestClock.adjust("5 seconds")
      const { exit, millis } = yield* Rig.timed(Scope.close(scope, Exit.void), 26_000)
      assert(Exit.isSuccess(exit))
      assert.isAtMost(millis, 25_000)
      assert.isFalse(double.broker.hasOpenTransaction())
      Rig.reason(yield* Fiber.join(waiter), "ProducerClosed")
      const before = double.calls.length
      yield* TestClock.adjust("60 seconds")
      Rig.reason(yield* Fiber.await(fiber), "ProducerClosed")
      assert.strictEqual(double.calls.length, before)
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("begins nothing any more", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(Rig.makeProducer(double), scope)
      yield* Scope.close(scope, Exit.void)
      for (const [, form] of Rig.forms) {
        Rig.reason(yield* Effect.exit(form(producer, () => Effect.void)), "ProducerClosed")
      }
      assert.isFalse((yield* producer.status).ready)
    }))
})

describe("a fenced producer", () => {
  for (const [name, form] of Rig.forms) {
    it.effect(`fails every later begin at once with the same reason, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        const held = yield* Deferred.make<void>()
        const fiber = yield* fork(
          form(
            producer,
            (transaction) =>
              Effect.andThen(Deferred.await(held), transaction.send([Rig.record("a")]))
          )
        )
        const waiting = yield* fork(Effect.exit(form(producer, () => Effect.void)))
        // Another instance takes the id over.
        double.broker.initialize("orders-0", 15_000, 0)
        yield* Deferred.succeed(held, undefined)
        const fenced = Rig.reason(yield* Fiber.await(fiber), "ProducerFenced")
        assert.strictEqual(fenced.epoch, 0)
        Rig.reason(yield* Fiber.join(waiting), "ProducerFenced")
        const before = double.calls.length
        Rig.reason(yield* Effect.exit(form(producer, () => Effect.void)), "ProducerFenced")
        assert.strictEqual(double.calls.length, before)
        assert.strictEqual(double.openSessions(), 0)
        assert.strictEqual((yield* producer.status).state, "Dead")
      }))

    it.effect(`is its own where an initialisation of it arrives late, but only once, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        // The abort is lost, and so is the first answer to the session after it.
        double.always("abort", Fault.NoAnswer())
        double.script("initialize", Fault.Late())
        yield* Rig.timed(
          form(
            producer,
            (transaction) => Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own"))
          ),
          20_000
        )
        double.heal()
        const send = form(
          producer,
          (transaction) => Effect.andThen(double.releaseLate, transaction.send([Rig.record("b")]))
        )
        const fenced = yield* Effect.exit(send)
        assert.strictEqual(Rig.reason(fenced, "TransactionAbortable").code, 47)
        yield* send
        assert.deepStrictEqual(double.visible(), ["b"])
        double.broker.initialize("orders-0", 15_000, 0)
        Rig.reason(yield* Effect.exit(send), "ProducerFenced")
      }))

    it.effect(`is one that the broker timed out where the time has passed, ${name}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make({
          producer: { transactionTimeout: "20 seconds", commitTimeout: "3 seconds" }
        })
        double.script("send", Fault.Delay({ by: "5 seconds" }), 2)
        const { exit } = yield* Rig.timed(
          form(producer, (transaction) =>
            transaction.send([Rig.record("a")]).pipe(
              Effect.andThen(Effect.sleep("16 seconds")),
              Effect.andThen(transaction.send([Rig.record("b")]))
            ))
        )
        Rig.reason(exit, "TransactionTimedOut")
        yield* form(producer, (transaction) => transaction.send([Rig.record("c")]))
        assert.deepStrictEqual(double.visible(), ["c"])
      }))
  }
})
