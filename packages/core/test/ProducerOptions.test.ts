import { assert, describe, it } from "@effect/vitest"
import * as ProducerOptions from "@kafka-once/core/ProducerOptions"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as DriverDouble from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

const times = [
  "transactionTimeout",
  "requestTimeout",
  "initializeTimeout",
  "deliveryTimeout",
  "drainTimeout",
  "commitTimeout",
  "abortTimeout",
  "resolveTimeout",
  "maxWaitingTime"
] as const

const counts = ["maxWaiting", "maxRequestRecords", "maxRequestBytes", "maxPendingBytes"] as const

const badTimes = [0, -1, Number.NaN, "0 millis", "soon", "25 days", Duration.infinity, null, {}]
const badCounts = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5", {}]
const badLanes = [...badCounts, 9]
const badIds = ["", "x".repeat(250), "a\0b", "\ud800", 5, null, undefined, ["a"]]

const bad: ReadonlyArray<readonly [string, unknown]> = [
  ...times.flatMap((setting) => badTimes.map((value) => [setting, value] as const)),
  ...counts.flatMap((setting) => badCounts.map((value) => [setting, value] as const)),
  ...badLanes.map((value) => ["lanes", value] as const),
  ...badIds.map((value) => ["transactionalId", value] as const)
]

const resolve = (options: object) =>
  ProducerOptions.resolve({ transactionalId: "orders-0", ...options } as never)

const show = (value: unknown) => Duration.isDuration(value) ? "forever" : JSON.stringify(value)

describe("ProducerOptions", () => {
  for (const [setting, value] of bad) {
    if (value === null && setting !== "transactionalId") continue
    it.effect(`${setting} cannot be ${String(show(value)).slice(0, 40)}`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(resolve({ [setting]: value }))
        const reason = Rig.reason(exit, "Misconfigured")
        assert.strictEqual(reason.setting, setting)
        assert.include(reason.message, setting)
        assert.isBelow(reason.message.length, 300)
      }))
  }

  it.effect("a transactional id must leave room for the lanes' names", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(resolve({ transactionalId: "x".repeat(243), lanes: 2 }))
      assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "transactionalId")
      yield* resolve({ transactionalId: "x".repeat(242), lanes: 8 })
      yield* resolve({ transactionalId: "x".repeat(249), lanes: 1 })
    }))

  it.effect("times that do not fit each other are refused", () =>
    Effect.gen(function*() {
      const commit = yield* Effect.exit(resolve({ transactionTimeout: "8 seconds" }))
      assert.strictEqual(Rig.reason(commit, "Misconfigured").setting, "commitTimeout")
      const request = yield* Effect.exit(resolve({ requestTimeout: "9 seconds" }))
      assert.strictEqual(Rig.reason(request, "Misconfigured").setting, "requestTimeout")
    }))

  it.effect("nothing is sent for settings that are refused", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make()
      const exit = yield* Effect.exit(Rig.makeProducer(double, { maxWaiting: 0 }))
      assert.strictEqual(Rig.kafkaError(exit).operation, "initialize")
      assert.deepStrictEqual(double.operations(), [])
    }))

  it.effect("the defaults keep every bound that the design needs", () =>
    Effect.gen(function*() {
      const settings = yield* resolve({})
      const millis = (duration: Duration.Duration) => Duration.toMillis(duration)
      const { commitTimeout, deliveryTimeout, bodyTimeout, requestTimeout } = settings
      const { drainTimeout, abortTimeout, resolveTimeout, transactionTimeout } = settings
      assert.isAtMost(millis(TransactionalProducer.releaseLimit(settings)), 25_000)
      assert.isAtMost(
        millis(drainTimeout) + millis(abortTimeout) + millis(resolveTimeout),
        25_000
      )
      assert.isBelow(millis(transactionTimeout), 45_000)
      assert.isAtMost(millis(deliveryTimeout), millis(bodyTimeout))
      assert.strictEqual(millis(bodyTimeout), millis(transactionTimeout) - millis(commitTimeout))
      for (
        const limit of [deliveryTimeout, commitTimeout, resolveTimeout, settings.initializeTimeout]
      ) {
        assert.isAtLeast(millis(limit), 2 * millis(requestTimeout))
      }
      for (const limit of [drainTimeout, abortTimeout]) {
        assert.isAbove(millis(limit), millis(requestTimeout))
      }
      assert.isBelow(settings.maxRequestBytes, 1_048_588)
      assert.isAbove(settings.maxPendingBytes, settings.maxRequestBytes)
    }))

  it.effect("what is set is used as it is", () =>
    Effect.gen(function*() {
      const settings = yield* resolve({ transactionTimeout: "1 minute", maxWaiting: 3 })
      assert.strictEqual(Duration.toMillis(settings.transactionTimeout), 60_000)
      assert.strictEqual(Duration.toMillis(settings.bodyTimeout), 52_000)
      assert.strictEqual(settings.maxWaiting, 3)
    }))
})
