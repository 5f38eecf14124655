import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Fault } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

// The coordinator's answer while the markers of the last transaction are still being written.
const concurrent = Fault.Answer({ code: 51 })

const offsets = Offsets.make(1n)

/** One transaction after another has ended, with a request of it refused so many times. */
const millisWith = (refusals: number, operation: "send" | "sendOffsets" | "commit") =>
  Effect.scoped(Effect.gen(function*() {
    const { double, producer } = yield* Rig.make()
    yield* Rig.bracketForm(producer, (transaction) => transaction.send([Rig.record("a")]))
    for (let nth = 1; nth <= refusals; nth++) double.script(operation, concurrent, 1)
    const before = double.count(operation)
    const { exit, millis } = yield* Rig.timed(
      Rig.bracketForm(producer, (transaction) =>
        Effect.andThen(
          transaction.send([Rig.record("b")]),
          transaction.sendOffsets(offsets)
        ))
    )
    assert(Exit.isSuccess(exit))
    assert.strictEqual(double.count(operation) - before, refusals + 1)
    assert.deepStrictEqual(double.visible(), ["a", "b"])
    return millis
  }))

describe("a request that is refused with CONCURRENT_TRANSACTIONS", () => {
  for (const operation of ["send", "sendOffsets", "commit"] as const) {
    it.effect(`is made again within 20 ms each time, and the first time sooner: ${operation}`, () =>
      Effect.gen(function*() {
        let last = yield* millisWith(0, operation)
        assert.strictEqual(last, 0)
        for (let refusals = 1; refusals <= 12; refusals++) {
          const millis = yield* millisWith(refusals, operation)
          const pause = millis - last
          // More than none: the coordinator is not asked in a tight loop.
          assert.isAtLeast(pause, 1, `pause ${refusals}`)
          assert.isAtMost(pause, refusals === 1 ? 5 : 20, `pause ${refusals}`)
          last = millis
        }
      }))
  }

  it.effect("is made again as soon after other failures, whose pauses grow on their own", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 6 }))
      double.script("send", Fault.Answer({ code: 6 }))
      double.script("send", concurrent)
      const { exit, millis } = yield* Rig.timed(
        Rig.bracketForm(producer, (transaction) => transaction.send([Rig.record("a")]))
      )
      assert(Exit.isSuccess(exit))
      // 50 and 100 ms for a leader that moves, and then at most 5.
      assert.isAtLeast(millis, 151)
      assert.isAtMost(millis, 155)
      assert.strictEqual(double.count("send"), 4)
    }))
})
