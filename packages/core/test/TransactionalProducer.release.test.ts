import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Fault, type Fault as AnyFault, type Operation } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

const offsets = (groupId: string) => Offsets.make(41n, { groupId })

/** Sends, adds offsets of three groups, and ends; a send that is not awaited goes on. */
const everything = (transaction: Rig.Open) =>
  transaction.send([Rig.record("a")]).pipe(
    Effect.ignore,
    Effect.andThen(transaction.sendOffsets(offsets("one")).pipe(Effect.ignore)),
    Effect.andThen(transaction.sendOffsets(offsets("two")).pipe(Effect.ignore)),
    Effect.andThen(transaction.sendOffsets(offsets("three")).pipe(Effect.ignore))
  )

const releaseMillis = (
  form: Rig.Form,
  { producer }: Rig.Rig,
  last: Effect.Effect<unknown, string>
) =>
  Effect.gen(function*() {
    let endedAt = 0
    const clock = Effect.clockWith((clock) => Effect.sync(() => clock.currentTimeMillisUnsafe()))
    const { exit, millis } = yield* Rig.timed(form(producer, (transaction) =>
      everything(transaction).pipe(
        Effect.andThen(last),
        Effect.onExit(() =>
          Effect.map(clock, (now) => {
            endedAt = now
          })
        )
      )))
    return { exit, millis: millis - endedAt }
  })

const cases: ReadonlyArray<readonly [Operation, AnyFault]> = [
  ["send", Fault.Hang()],
  ["send", Fault.ActHang()],
  ["send", Fault.Die()],
  ["sendOffsets", Fault.Hang()],
  ["sendOffsets", Fault.Die()],
  ["commit", Fault.Hang()],
  ["commit", Fault.ActHang()],
  ["commit", Fault.Die()],
  ["begin", Fault.Hang()],
  ["begin", Fault.Die()],
  ["partitionCount", Fault.Hang()],
  ["partitionCount", Fault.Die()]
]

describe.each(Rig.forms)("a release, %s", (_name, form) => {
  for (const [operation, fault] of cases) {
    it.effect(`is bounded and never dies: ${fault._tag} in ${operation}`, () =>
      Effect.gen(function*() {
        const rig = yield* Rig.make()
        rig.double.always(operation, fault)
        const { exit, millis } = yield* releaseMillis(form, rig, Effect.void)
        // Only the answer of that commit was lost, and the log tells that it was done.
        if (operation === "commit" && fault._tag === "ActHang") assert(Exit.isSuccess(exit))
        else Rig.kafkaError(exit)
        assert.isAtMost(millis, 25_000)
        rig.double.heal()
        yield* form(rig.producer, (transaction) => transaction.send([Rig.record("next")]))
        assert.include(rig.double.visible(), "next")
      }))

    it.effect(`keeps the body's own failure: ${fault._tag} in ${operation}`, () =>
      Effect.gen(function*() {
        const rig = yield* Rig.make()
        if (operation !== "commit" && operation !== "sendOffsets") {
          rig.double.always(operation, fault)
        }
        const { exit, millis } = yield* releaseMillis(form, rig, Effect.fail("own"))
        Rig.failsWith(exit, "own")
        assert.isAtMost(millis, 25_000)
        assert.deepStrictEqual(rig.double.visible(), [])
      }))
  }

  for (const fault of [Fault.Hang(), Fault.ActHang(), Fault.Die(), Fault.Answer({ code: 48 })]) {
    it.effect(`keeps the body's own failure: ${fault._tag} in abort`, () =>
      Effect.gen(function*() {
        const { double, producer, events } = yield* Rig.make()
        double.always("abort", fault)
        const { exit, millis } = yield* Rig.timed(form(producer, (transaction) =>
          Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own"))))
        Rig.failsWith(exit, "own")
        assert.isAtMost(millis, 25_000)
        assert(events.some(({ _tag }) =>
          _tag === "AbortFailed"
        ))
        assert.isFalse(double.broker.hasOpenTransaction())
      }))
  }

  for (const operation of ["openSession", "initialize"] as const) {
    for (const fault of [Fault.Hang(), Fault.Die()]) {
      it.effect(`is bounded without a next session: ${fault._tag} in ${operation}`, () =>
        Effect.gen(function*() {
          const { double, producer, events } = yield* Rig.make()
          double.script("abort", Fault.NoAnswer())
          double.script("abort", Fault.Hang())
          double.always(operation, fault)
          const { exit, millis } = yield* Rig.timed(
            form(
              producer,
              (transaction) =>
                Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own"))
            )
          )
          Rig.failsWith(exit, "own")
          assert.isAtMost(millis, 25_000)
          assert(events.some(({ _tag }) => _tag === "TransactionLeftOpen"))
          double.heal()
          yield* Rig.timed(Effect.void)
          yield* form(producer, (transaction) => transaction.send([Rig.record("next")]))
          assert.deepStrictEqual(double.visible(), ["next"])
        }))
    }
  }

  it.effect("is bounded while everything hangs, the closing of the session included", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: { commitRetry: false } })
      // An abandoned call goes on hanging, so what hangs is let go at the end of the test.
      const latch = yield* Deferred.make<void>()
      yield* Effect.addFinalizer(() => Deferred.succeed(latch, undefined))
      for (const operation of ["commit", "close", "openSession"] as const) {
        double.always(operation, Fault.Gate({ latch }))
      }
      // Acknowledged just before the drain's time is over.
      double.script("send", Fault.Delay({ by: "4900 millis" }))
      const { exit, millis } = yield* Rig.timed(
        form(producer, (transaction) =>
          Effect.asVoid(Effect.forkDetach(
            transaction.send([Rig.record("a")]),
            { startImmediately: true }
          )))
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
      assert.isAbove(millis, 20_000)
      assert.isAtMost(millis, 25_000)
      double.heal()
    }))
})
