import { assert, describe, it } from "@effect/vitest"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as BrokerDouble from "./support/BrokerDouble.ts"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

/** One step of an instance: it takes over its next lane, or runs a transaction. */
type Step = "take over" | "transact" | "transact nothing"

interface Instance {
  readonly name: string
  readonly double: DriverDouble.DriverDouble
  readonly gates: Array<Deferred.Deferred<void>>
  readonly starting: Fiber.Fiber<Rig.Producer, KafkaError>
}

const settleFibers = Effect.gen(function*() {
  for (let turn = 0; turn < 30; turn++) yield* Effect.yieldNow
})

/** An instance that takes over a lane when it is told to. */
const start = (
  name: string,
  broker: BrokerDouble.BrokerDouble,
  lanes: number
): Effect.Effect<Instance, never, Scope.Scope> =>
  Effect.gen(function*() {
    const double = yield* DriverDouble.make({ broker })
    const gates: Array<Deferred.Deferred<void>> = []
    for (let lane = 0; lane < lanes; lane++) {
      const latch = yield* Deferred.make<void>()
      double.script("initialize", Fault.Gate({ latch }))
      gates.push(latch)
    }
    const starting = yield* Effect.forkScoped(Rig.makeProducer(double, { lanes }), {
      startImmediately: true
    })
    return { name, double, gates, starting }
  })

const perform = ({ gates, name, starting }: Instance, step: Step) =>
  Effect.gen(function*() {
    if (step === "take over") {
      yield* Deferred.succeed(gates.shift()!, undefined)
      return yield* settleFibers
    }
    const producer = yield* Fiber.join(starting)
    yield* Effect.exit(Rig.scopeForm(producer, (transaction) =>
      step === "transact" ? transaction.send([Rig.record(name)]) : Effect.void))
  })

/** Every way in which two instances can go through their steps, by whose step is next. */
const merges = (one: number, other: number): ReadonlyArray<string> =>
  one === 0 || other === 0
    ? ["A".repeat(one) + "B".repeat(other)]
    : [
      ...merges(one - 1, other).map((rest) => `A${rest}`),
      ...merges(one, other - 1).map((rest) => `B${rest}`)
    ]

/** Whose transactions were committed, in the order of the log. */
const run = (order: string, lanes: readonly [number, number], steps: ReadonlyArray<Step>) =>
  Effect.scoped(Effect.gen(function*() {
    const broker = BrokerDouble.make({ orders: 1 })
    const instances = {
      A: yield* start("A", broker, lanes[0]),
      B: yield* start("B", broker, lanes[1])
    }
    const todo = {
      A: [...Array.from({ length: lanes[0] }, (): Step => "take over"), ...steps],
      B: [...Array.from({ length: lanes[1] }, (): Step => "take over"), ...steps]
    }
    for (const name of order) {
      const who = name as "A" | "B"
      yield* perform(instances[who], todo[who].shift()!)
    }
    return broker.visible().map(({ record }) => DriverDouble.text(record.value)).join("")
  }))

// Each is the owner for a while, once: they never take turns.
const oneAfterTheOther = /^(A*B*|B*A*)$/

describe("two instances with the same transactional id and lanes", () => {
  it.effect.each(
    [
      [2, ["transact", "transact", "transact"]],
      [2, ["transact nothing", "transact", "transact"]],
      [3, ["transact", "transact"]]
    ] as const
  )(
    "never commit in turn, in whatever order they start: %d lanes, %j",
    ([lanes, steps]) =>
      Effect.gen(function*() {
        const seen = new Set<string>()
        for (const order of merges(lanes + steps.length, lanes + steps.length)) {
          const committed = yield* run(order, [lanes, lanes], steps)
          assert.match(committed, oneAfterTheOther, order)
          seen.add(committed)
        }
        // Also runs in which both have committed something.
        assert([...seen].some((committed) => /AB/.test(committed)), [...seen].join())
        assert([...seen].some((committed) => /BA/.test(committed)), [...seen].join())
      }),
    30_000
  )

  it.effect("once the newer has started, the older commits nothing in any lane", () =>
    Effect.gen(function*() {
      // However many transactions the older has had, and so whatever lane is its next.
      for (const before of [0, 1, 2, 3]) {
        const steps = Array.from({ length: before + 1 }, () => "transact" as const)
        const older = "AA" + "A".repeat(before)
        const committed = yield* run(`${older}BBA${before > 0 ? "B" : ""}`, [2, 2], steps)
        assert.strictEqual(committed, "A".repeat(before) + (before > 0 ? "B" : ""))
      }
    }))
})

describe("an older instance whose session broke, over a driver without epochBump", () => {
  it.effect("takes one lane back, commits nothing, and both end", () =>
    Effect.gen(function*() {
      const broker = BrokerDouble.make({ orders: 1 })
      const capabilities = { epochBump: false }
      const ofOlder = yield* DriverDouble.make({ broker, capabilities })
      const ofNewer = yield* DriverDouble.make({ broker, capabilities })
      const older = yield* Rig.makeProducer(ofOlder, { lanes: 2 })
      const newer = yield* Rig.makeProducer(ofNewer, { lanes: 2 })
      const send = (producer: Rig.Producer, value: string) =>
        Effect.exit(
          Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record(value)]))
        )
      yield* send(newer, "b1")
      for (const operation of ["send", "abort"] as const) {
        ofOlder.always(operation, Fault.NoAnswer())
      }
      const broken = yield* Rig.timed(send(older, "a1"), 60_000)
      assert(Exit.isSuccess(broken.exit))
      Rig.reason(broken.exit.value, "TimedOut")
      assert.strictEqual(ofOlder.count("initialize"), 3)
      ofOlder.heal()
      Rig.reason(yield* send(older, "a2"), "ProducerFenced")
      assert.isTrue(Exit.isSuccess(yield* send(newer, "b2")))
      Rig.reason(yield* send(newer, "b3"), "ProducerFenced")
      assert.deepStrictEqual(ofNewer.visible(), ["b1", "b2"])
    }))
})

describe("instances with different numbers of lanes", () => {
  it.effect("from one to two: the older is fenced at once", () =>
    Effect.gen(function*() {
      const committed = yield* run("AABBABB", [1, 2], ["transact", "transact"])
      assert.strictEqual(committed, "ABB")
    }))

  it.effect("from two to one: the older goes on in the lane that the newer does not have", () =>
    Effect.gen(function*() {
      // A's next turn is the lane that B does not have; the one after it is the one that B has.
      const committed = yield* run(
        "AAABBAAB",
        [2, 1],
        ["transact", "transact", "transact"]
      )
      assert.strictEqual(committed, "ABAB")
    }))
})
