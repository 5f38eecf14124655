import { assert, describe, it } from "@effect/vitest"
import * as Cursor from "@kafka-once/core/Cursor"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { ProducerEvent } from "@kafka-once/core/ProducerEvent"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

const first = "orders-0"
const second = "orders-0-lane-1"

const lanes = { producer: { lanes: 2 } }

const send = (value: string) => (transaction: Rig.Open) => transaction.send([Rig.record(value)])

const fork = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.forkChild(self, { startImmediately: true })

/** The transactional ids of an operation's calls, in the order of the calls. */
const idsOf = (double: DriverDouble.DriverDouble, operation: DriverDouble.Operation) =>
  double.calls.filter((call) => call.operation === operation).map((call) => call.transactionalId)

const named = <T extends ProducerEvent["_tag"]>(events: ReadonlyArray<ProducerEvent>, tag: T) =>
  events.filter((event): event is Extract<ProducerEvent, { readonly _tag: T }> =>
    event._tag === tag
  )

describe("a start with lanes", () => {
  it.effect("fails, and leaves no session open, where one lane may not be written to", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      double.script("initialize", Fault.Answer({ code: 53 }), 2)
      const exit = yield* Effect.exit(Effect.scoped(Rig.makeProducer(double, { lanes: 2 })))
      const reason = Rig.reason(exit, "NotAuthorized")
      assert.include(reason.message, second)
      assert.strictEqual(double.openSessions(), 0)
    }))

  it.effect("may take as long as initializeTimeout for all of them together", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      double.script("initialize", Fault.Delay({ by: "2900 millis" }))
      double.always("initialize", Fault.Hang())
      const options = { lanes: 3, initializeTimeout: "5 seconds" } as const
      const { exit, millis } = yield* Rig.timed(Effect.scoped(Rig.makeProducer(double, options)))
      Rig.reason(exit, "Unreachable")
      assert.strictEqual(millis, 5_000)
      assert.strictEqual(double.openSessions(), 0)
    }))

  it.effect("takes over every lane, one after the other, the producer's own id first", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const latch = yield* Deferred.make<void>()
      double.script("initialize", Fault.Gate({ latch }))
      const starting = yield* fork(Rig.makeProducer(double, { lanes: 3 }))
      for (let turn = 0; turn < 50; turn++) yield* Effect.yieldNow
      // The second waits until the first is its own: whoever has the last has fenced the others.
      assert.deepStrictEqual(idsOf(double, "initialize"), [first])
      yield* Deferred.succeed(latch, undefined)
      const producer = yield* Fiber.join(starting)
      assert.deepStrictEqual(idsOf(double, "initialize"), [first, second, "orders-0-lane-2"])
      assert.strictEqual(producer.transactionalId, first)
      assert.strictEqual((yield* producer.status).transactionalId, first)
    }))

  it.effect("ends what an older instance has left open, in whatever lane", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const left = Rig.makeProducer(double, { lanes: 2 })
      const older = yield* left
      yield* Rig.scopeForm(older, send("a"))
      const sent = yield* Deferred.make<void>()
      const held = yield* fork(
        Rig.scopeForm(older, (transaction) =>
          send("b")(transaction).pipe(
            Effect.andThen(Deferred.succeed(sent, undefined)),
            Effect.andThen(Effect.never)
          ))
      )
      yield* Deferred.await(sent)
      assert.isTrue(double.broker.hasOpenTransaction())
      yield* left
      assert.isFalse(double.broker.hasOpenTransaction())
      yield* Rig.timed(Fiber.interrupt(held))
      assert.deepStrictEqual(double.visible(), ["a"])
    }))
})

describe.each(Rig.forms)("a producer with lanes, %s", (_name, form) => {
  it.effect("is dead as a whole when one lane is fenced, and closes the others", () =>
    Effect.gen(function*() {
      for (const fenced of [first, second]) {
        const { double, events, producer } = yield* Rig.make(lanes)
        double.broker.initialize(fenced, 15_000, 0)
        if (fenced === second) yield* form(producer, send("a"))
        const exit = yield* Effect.exit(form(producer, send("b")))
        assert.strictEqual(Rig.reason(exit, "ProducerFenced").transactionalId, fenced)
        const before = double.calls.length
        const next = yield* Effect.exit(form(producer, send("c")))
        assert.strictEqual(Rig.reason(next, "ProducerFenced").transactionalId, fenced)
        assert.strictEqual(double.calls.length, before)
        assert.strictEqual(double.openSessions(), 0)
        assert.deepInclude(yield* producer.status, { state: "Dead", ready: false })
        assert.deepStrictEqual(named(events, "Fenced").map((event) => event.transactionalId), [
          fenced
        ])
      }
    }))

  it.effect("takes no offsets, and aborts the transaction that was to", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make(lanes)
      const exit = yield* Effect.exit(form(producer, (transaction) =>
        send("a")(transaction).pipe(
          Effect.andThen(Effect.exit(transaction.sendOffsets(Offsets.make(1n))))
        )))
      assert.include(Rig.reason(exit, "TransactionTainted").message, "lanes")
      assert.strictEqual(double.count("sendOffsets"), 0)
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("whose commit had no answer replaces that lane's session, and no other", () =>
    Effect.gen(function*() {
      const { double, events, producer } = yield* Rig.make({
        ...lanes,
        capabilities: { commitRetry: false }
      })
      double.script("commit", Fault.ActNoAnswer())
      const outcome = yield* form(
        producer,
        (transaction) => Effect.as(send("a")(transaction), transaction.outcome)
      )
      assert.deepInclude(yield* outcome, { _tag: "Committed", proof: "end marker" })
      yield* form(producer, send("b"))
      yield* form(producer, send("c"))
      assert.deepStrictEqual(idsOf(double, "initialize"), [first, second, first])
      assert.deepStrictEqual(idsOf(double, "send"), [first, second, first])
      assert.deepStrictEqual(
        named(events, "SessionRetired").map((event) => event.transactionalId),
        [first]
      )
      assert.deepStrictEqual(double.visible(), ["a", "b", "c"])
    }))

  it.effect("begins in no lane while one that has left a transaction open has no session", () =>
    Effect.gen(function*() {
      const { double, events, producer } = yield* Rig.make(lanes)
      double.script("abort", Fault.Answer({ code: 48 }))
      double.always("initialize", Fault.Answer({ code: 51 }))
      yield* Rig.timed(
        form(producer, (transaction) => Effect.andThen(send("a")(transaction), Effect.fail("own")))
      )
      assert.deepStrictEqual(
        named(events, "TransactionLeftOpen").map((event) => event.transactionalId),
        [first]
      )
      assert.strictEqual((yield* producer.status).state, "Retired")
      const { exit } = yield* Rig.timed(form(producer, send("b")))
      Rig.reason(exit, "TimedOut")
      assert.deepStrictEqual(idsOf(double, "send"), [first])
      double.heal()
      yield* Rig.timed(form(producer, send("c")))
      assert.deepStrictEqual(idsOf(double, "send"), [first, second])
      assert.deepStrictEqual(idsOf(double, "initialize").slice(1).filter((id) => id !== first), [
        second
      ])
      assert.deepStrictEqual(double.visible(), ["c"])
      assert.isFalse(double.broker.hasOpenTransaction())
    }))

  it.effect("uses them in turn, and says everywhere which it was", () =>
    Effect.gen(function*() {
      const { double, events, producer } = yield* Rig.make(lanes)
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const own: Array<string> = []
      for (const value of ["a", "b", "c", "d"]) {
        yield* form(producer, (transaction) => {
          own.push(transaction.transactionalId)
          return send(value)(transaction)
        }).pipe(Effect.withTracer(tracer))
      }
      const inTurn = [first, second, first, second]
      assert.deepStrictEqual(own, inTurn)
      assert.deepStrictEqual(idsOf(double, "send"), inTurn)
      assert.deepStrictEqual(
        named(events, "TransactionSettled").map((event) => event.transactionalId),
        inTurn
      )
      for (const name of ["transaction", "begin", "commit", "send orders"]) {
        const ids = spans.filter((span) => span.name === name)
          .map((span) => span.attributes.get("messaging.kafka.transactional_id"))
        assert.deepStrictEqual(ids, inTurn, name)
      }
      const counted = (yield* Metric.snapshot).filter((metric) =>
        metric.id === "kafka_once.transactions" && metric.attributes?.["outcome"] === "committed"
      )
      for (const id of [first, second]) {
        assert.isTrue(
          counted.some((metric) => metric.attributes?.["messaging.kafka.transactional_id"] === id)
        )
      }
      assert.deepStrictEqual(double.visible(), ["a", "b", "c", "d"])
    }))

  it.effect("has one transaction open, and the next begins when the last has ended", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make(lanes)
      const latch = yield* Deferred.make<void>()
      double.script("commit", Fault.Gate({ latch }))
      const names = ["0", "1", "2", "3", "4"]
      const callers = yield* Effect.forEach(names, (name) => fork(form(producer, send(name))))
      for (let turn = 0; turn < 50; turn++) yield* Effect.yieldNow
      // The first waits for the answer to its commit.
      assert.deepStrictEqual(idsOf(double, "send"), [first])
      assert.deepInclude(yield* producer.status, { state: "Committing", waiting: 4 })
      yield* Deferred.succeed(latch, undefined)
      yield* Effect.forEach(callers, Fiber.join)
      assert.deepStrictEqual(double.written(), names)
    }))

  it.effect("refuses a begin inside a transaction, and callers past the bound", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make({ producer: { lanes: 2, maxWaiting: 1 } })
      yield* form(producer, send("a"))
      const nested = form(producer, () => Effect.void).pipe(producer.withTransaction())
      assert.strictEqual(
        Rig.reason(yield* Effect.exit(nested), "NestedTransaction").transactionalId,
        second
      )
      const sameScope = Effect.scoped(Effect.andThen(producer.begin(), producer.begin()))
      Rig.reason(yield* Effect.exit(sameScope), "NestedTransaction")
      const latch = yield* Deferred.make<void>()
      const held = yield* fork(form(producer, () => Deferred.await(latch)))
      const waiting = yield* fork(form(producer, () => Effect.void))
      const busy = Rig.reason(yield* Effect.exit(form(producer, () => Effect.void)), "Busy")
      assert.strictEqual(busy.transactionalId, first)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(held)
      yield* Fiber.join(waiting)
    }))

  it.effect("keeps the turn where the broker has accepted nothing of a transaction", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make(lanes)
      yield* form(producer, () => Effect.void)
      yield* Effect.exit(form(producer, () => Effect.fail("own")))
      yield* form(producer, send("a"))
      double.script("send", Fault.Answer({ code: 29 }))
      Rig.reason(yield* Effect.exit(form(producer, send("b"))), "NotAuthorized")
      yield* form(producer, send("c"))
      assert.deepStrictEqual(idsOf(double, "send"), [first, second, second])
      assert.deepStrictEqual(double.visible(), ["a", "c"])
    }))
})

describe("lanes", () => {
  it.effect("are not for a cursor, which is refused before it could have a position in each", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make(lanes)
      const cursor = yield* Effect.provideService(
        Cursor.make({ producer, topic: "orders" }),
        KafkaDriver,
        double.driver
      )
      const exit = yield* Effect.exit(
        cursor.advance(() => Effect.as(Transaction.send([Rig.record("a")]), 1n))
      )
      assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "lanes")
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("are all closed with their producer", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(Rig.makeProducer(double, { lanes: 3 }), scope)
      yield* Rig.scopeForm(producer, send("a"))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(double.openSessions(), 0)
      Rig.reason(yield* Effect.exit(Rig.scopeForm(producer, send("b"))), "ProducerClosed")
      assert.strictEqual((yield* producer.status).state, "Closed")
    }))

  it.effect("that are closed under an open transaction fence the lane that it is in", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const scope = yield* Scope.make()
      const producer = yield* Scope.provide(Rig.makeProducer(double, { lanes: 2 }), scope)
      yield* Rig.scopeForm(producer, send("a"))
      const fiber = yield* fork(
        Rig.scopeForm(
          producer,
          (transaction) => Effect.andThen(send("b")(transaction), Effect.sleep("60 seconds"))
        )
      )
      const { exit } = yield* Rig.timed(Scope.close(scope, Exit.void), 26_000)
      assert(Exit.isSuccess(exit))
      assert.isFalse(double.broker.hasOpenTransaction())
      assert.deepStrictEqual(idsOf(double, "initialize"), [first, second, second])
      yield* Rig.timed(Effect.void, 60_000)
      Rig.reason(yield* Fiber.await(fiber), "ProducerClosed")
      assert.deepStrictEqual(double.visible(), ["a"])
    }))

  it.effect("fail a begin together while no broker answers", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make(lanes)
      double.always("send", Fault.NoAnswer())
      double.always("abort", Fault.NoAnswer())
      double.always("openSession", Fault.NotSent())
      double.always("probe", Fault.NotSent())
      yield* Rig.timed(Rig.scopeForm(producer, send("a")), 40_000)
      const before = double.count("openSession")
      const { exit, millis } = yield* Rig.timed(Rig.scopeForm(producer, send("b")), 0)
      Rig.reason(exit, "Unreachable")
      assert.strictEqual(millis, 0)
      assert.strictEqual(double.count("openSession"), before)
      assert.isFalse((yield* producer.status).ready)
      double.heal()
      yield* Rig.timed(Effect.void, 10_000)
      yield* Rig.timed(Rig.scopeForm(producer, send("c")))
      assert.deepStrictEqual(double.visible(), ["c"])
    }))

  it.effect("one of which is resolved elsewhere while it is open end with the fence", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({
        ...lanes,
        capabilities: { commitRetry: false }
      })
      yield* Rig.scopeForm(producer, send("a"))
      double.script("commit", Fault.ActNoAnswer())
      double.always("endMarker", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(Rig.scopeForm(producer, send("b")))
      const unknown = Rig.reason(exit, "CommitOutcomeUnknown")
      assert.strictEqual(unknown.transactionalId, second)
      // Without evidence the question fences, and then there is nothing to be found either.
      const asked = yield* Rig.timed(
        Effect.provideService(Transaction.resolve(unknown), KafkaDriver, double.driver)
      )
      assert(Exit.isSuccess(asked.exit))
      assert.strictEqual(asked.exit.value._tag, "Unknown")
      yield* Rig.scopeForm(producer, send("c"))
      const fenced = yield* Effect.exit(Rig.scopeForm(producer, send("d")))
      assert.strictEqual(Rig.reason(fenced, "ProducerFenced").transactionalId, second)
      double.heal()
      const later = yield* Effect.provideService(
        Transaction.resolve(unknown),
        KafkaDriver,
        double.driver
      )
      assert.strictEqual(later._tag, "Committed")
    }))
})
