import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

const silent = (double: DriverDouble.DriverDouble, fault: DriverDouble.Fault) => {
  for (const operation of ["openSession", "abort", "probe"] as const) {
    double.always(operation, fault)
  }
}

/** A producer whose session was lost to a cluster that does not answer any more. */
const cutOff = (fault: DriverDouble.Fault) =>
  Effect.gen(function*() {
    const rig = yield* Rig.make()
    silent(rig.double, fault)
    const { exit } = yield* Rig.timed(
      Rig.scopeForm(rig.producer, (transaction) =>
        Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own"))),
      20_000
    )
    Rig.failsWith(exit, "own")
    return rig
  })

describe("a producer that no broker answers", () => {
  for (const fault of [Fault.NotSent(), Fault.Hang(), Fault.NoAnswer()]) {
    it.effect(`fails fast with Unreachable, after one caller has paid: ${fault._tag}`, () =>
      Effect.gen(function*() {
        const { producer, double, events } = yield* cutOff(fault)
        const before = double.count("openSession")
        for (const [, form] of Rig.forms) {
          const { exit, millis } = yield* Rig.timed(form(producer, () => Effect.void), 0)
          const { sinceMillis } = Rig.reason(exit, "Unreachable")
          assert.isAbove(sinceMillis, 0)
          assert.strictEqual(millis, 0)
        }
        assert.strictEqual(double.count("openSession"), before)
        const status = yield* producer.status
        assert.isFalse(status.ready)
        assert(Option.isSome(status.unreachableSinceMillis))
        assert.strictEqual(events.filter(({ _tag }) => _tag === "Unreachable").length, 1)
      }))

    it.effect(`goes on by itself when one does: ${fault._tag}`, () =>
      Effect.gen(function*() {
        const { producer, double, events } = yield* cutOff(fault)
        double.heal()
        yield* TestClock.adjust("10 seconds")
        const status = yield* producer.status
        assert.isTrue(status.ready)
        assert(Option.isNone(status.unreachableSinceMillis))
        assert(events.some(({ _tag }) => _tag === "Reachable"))
        yield* Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("b")]))
        assert.deepStrictEqual(double.visible(), ["b"])
      }))
  }

  for (const fault of [Fault.NotSent(), Fault.Hang(), Fault.NoAnswer()]) {
    it.effect(`is known to one that only asked for a topic's partitions: ${fault._tag}`, () =>
      Effect.gen(function*() {
        const { producer, double } = yield* Rig.make()
        double.always("partitionCount", fault)
        double.always("probe", fault)
        for (const [index, [, form]] of Rig.forms.entries()) {
          const { exit } = yield* Rig.timed(
            form(producer, (transaction) => transaction.send([Rig.record("a")])),
            index === 0 ? 10_000 : 0
          )
          Rig.reason(exit, index === 0 ? "TimedOut" : "Unreachable")
        }
        assert.isFalse((yield* producer.status).ready)
        double.heal()
        yield* TestClock.adjust("10 seconds")
        assert.isTrue((yield* producer.status).ready)
        yield* Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("b")]))
        assert.deepStrictEqual(double.visible(), ["b"])
      }))
  }

  it.effect("probes at most every 100 ms, and in the end every few seconds", () =>
    Effect.gen(function*() {
      const { double } = yield* cutOff(Fault.NotSent())
      const before = double.count("probe")
      yield* TestClock.adjust("100 seconds")
      const probes = double.count("probe") - before
      assert.isAtLeast(probes, 15)
      assert.isAtMost(probes, 30)
    }))

  it.effect("goes on by itself also after a probe that died", () =>
    Effect.gen(function*() {
      const { producer, double } = yield* cutOff(Fault.NotSent())
      double.heal()
      double.script("probe", Fault.Die())
      yield* TestClock.adjust("20 seconds")
      assert.isTrue((yield* producer.status).ready)
    }))

  it.effect("at its start fails after its deadline, and leaves no probe behind", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      double.always("openSession", Fault.NotSent())
      const { exit, millis } = yield* Rig.timed(Effect.scoped(Rig.makeProducer(double)))
      Rig.reason(exit, "Unreachable")
      assert.strictEqual(Rig.kafkaError(exit).operation, "initialize")
      assert.strictEqual(millis, 10_000)
      const before = double.calls.length
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(double.calls.length, before)
    }))

  it.effect('is not what a coordinator is called that answers "not yet"', () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      double.always("initialize", Fault.Answer({ code: 51 }))
      const { exit, millis } = yield* Rig.timed(Effect.scoped(Rig.makeProducer(double)))
      assert.include(Rig.reason(exit, "TimedOut").last, "CONCURRENT_TRANSACTIONS")
      assert.strictEqual(millis, 10_000)
      // One session, on which the same request is repeated.
      assert.strictEqual(double.count("openSession"), 1)
    }))

  it.effect("is told from wrong credentials, which fail at once", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      double.script("openSession", Fault.Answer({ code: 58 }))
      const { exit, millis } = yield* Rig.timed(Effect.scoped(Rig.makeProducer(double)))
      Rig.reason(exit, "AuthenticationFailed")
      assert.strictEqual(millis, 0)
      assert(Exit.isFailure(exit))
    }))
})
