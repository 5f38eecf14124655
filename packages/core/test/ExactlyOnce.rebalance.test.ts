import { assert, describe, it } from "@effect/vitest"
import { SessionEvent } from "@kafka-once/core/ConsumerDriver"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ConsumerDouble from "./support/ConsumerDouble.ts"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"

const { pass, produce, settle } = ConsumerRig
const { committed, visible } = PipelineRig

const group = (double: DriverDouble.DriverDouble) => double.broker.group("billing", ["input"])

const tags = (events: ReadonlyArray<{ readonly _tag: string }>) => events.map(({ _tag }) => _tag)

/** A process that sends, and then waits until the test opens its gate. */
const gated = () => {
  const gate = Deferred.makeUnsafe<void>()
  const entered = Deferred.makeUnsafe<void>()
  return {
    gate,
    entered,
    open: Deferred.succeed(gate, undefined),
    process: (batch: PipelineRig.Input) =>
      PipelineRig.copy(batch).pipe(
        Effect.andThen(Deferred.succeed(entered, undefined)),
        Effect.andThen(Deferred.await(gate))
      )
  }
}

describe.each(PipelineRig.modes)("a rebalance of a pipeline, %s", (_mode, capabilities) => {
  it.effect("rule 12: a revocation waits for the open transaction, and nothing more is read", () =>
    Effect.gen(function*() {
      const work = gated()
      const { double, events } = yield* PipelineRig.make({
        capabilities,
        pipeline: { process: work.process }
      })
      produce(double, 0, "a")
      yield* settle
      yield* pass(500)
      yield* Deferred.await(work.entered)
      group(double).rebalance()
      produce(double, 0, "b")
      yield* pass(3_000)
      assert.strictEqual(group(double).generation(), 1)
      assert.deepStrictEqual(visible(double), [])
      yield* work.open
      yield* pass(1_000)
      assert.strictEqual(group(double).generation(), 2)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b"])
      assert.strictEqual(committed(double, 0), 2n)
      assert.includeMembers(tags(events), ["Revoking", "Revoked", "Assigned"])
      assert.notInclude(tags(events), "Lost")
    }))

  it.effect("what is gathered of one lane when another is taken away is not left out", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: { batch: { records: 10, within: "1 second" } }
      })
      yield* pass(500)
      produce(double, 0, "a")
      // It is gathered, and more is waited for.
      yield* pass(100, 100)
      assert.deepStrictEqual(visible(double), [])
      let isReleased = false
      double.consumers[0]!.tell(SessionEvent.Revoking({
        partitions: [{ topic: "input", partition: 1 }],
        budgetMillis: 30_000,
        release: Effect.sync(() => {
          isReleased = true
        })
      }))
      yield* pass(500)
      assert.isTrue(isReleased)
      produce(double, 0, "b")
      yield* pass(3_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b"])
      assert.strictEqual(committed(double, 0), 2n)
    }))

  it.effect("rule 12: what does not end within the group's patience is aborted", () =>
    Effect.gen(function*() {
      const work = gated()
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: {
          process: work.process,
          // A transaction may take longer than the rebalance waits.
          producer: { transactionTimeout: "44 seconds", abortTimeout: "1 second" },
          consumer: { rebalanceTimeout: "50 seconds" }
        }
      })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      group(double).rebalance()
      yield* pass(30_000)
      assert.strictEqual(group(double).generation(), 2)
      assert.deepStrictEqual([visible(double), double.count("commit")], [[], 0])
      yield* work.open
      yield* pass(2_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))

  it.effect("rule 12: a partition that is lost aborts, and its new owner does it once", () =>
    Effect.gen(function*() {
      const work = gated()
      const { double, events } = yield* PipelineRig.make({
        capabilities: { ...capabilities, revocationHold: false },
        pipeline: { process: work.process }
      })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      group(double).rebalance()
      yield* pass(1_000)
      // At once, and not when `process` ends.
      assert.strictEqual(double.count("abort"), 1)
      yield* work.open
      yield* pass(2_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
      assert.include(tags(events), "Lost")
    }))

  it.effect("rule 12: a partition that comes back waits until its last transaction has ended", () =>
    Effect.gen(function*() {
      const work = gated()
      const { double } = yield* PipelineRig.make({
        capabilities: { ...capabilities, revocationHold: false },
        pipeline: { process: work.process }
      })
      const latch = Deferred.makeUnsafe<void>()
      double.script("abort", Fault.Gate({ latch }))
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      const sought = () =>
        double.consumers[0]!.sought.filter(({ partition }) => partition === 0).length
      group(double).rebalance()
      yield* pass(1_000)
      assert.strictEqual(sought(), 1)
      yield* Deferred.succeed(latch, undefined)
      yield* work.open
      yield* pass(1_000)
      assert.strictEqual(sought(), 2)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))

  it.effect("rule 12: what is lost between process and EndTxn does not commit", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities: { ...capabilities, revocationHold: false }
      })
      const latch = Deferred.makeUnsafe<void>()
      double.script("sendOffsets", Fault.Gate({ latch }))
      produce(double, 0, "a")
      yield* Effect.forkChild(pass(100))
      yield* double.next("sendOffsets")
      group(double).kick(double.consumers[0]!.memberId)()
      yield* settle
      yield* Deferred.succeed(latch, undefined)
      yield* pass(200)
      assert.strictEqual(double.count("commit"), 0)
      double.consumers[0]!.die(ConsumerDouble.failure("Heartbeat", 25))
      yield* pass(10_000)
      assert.deepStrictEqual([visible(double), committed(double, 0)], [["0:0:a"], 1n])
    }))

  it.effect("E5: a zombie that does not know it yet cannot commit beside the new owner", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const work = gated()
      yield* PipelineRig.fork(double, { process: work.process })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      const zombie = double.consumers[0]!
      const tell = group(double).kick(zombie.memberId)
      const other = yield* DriverDouble.make({
        broker: double.broker,
        capabilities
      })
      yield* PipelineRig.start(other)
      yield* pass(20_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
      yield* work.open
      yield* pass(10_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
      tell()
      zombie.die(ConsumerDouble.failure("Heartbeat", 25))
      produce(double, 0, "b")
      yield* pass(20_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b"])
      assert.deepStrictEqual(double.broker.regressions(), [])
    }))

  it.effect("a generation that takes nothing away does not make the open transaction void", () =>
    Effect.gen(function*() {
      const work = gated()
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: { process: work.process }
      })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      group(double).renew()
      yield* settle
      yield* work.open
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
      assert.strictEqual(double.count("abort"), 0)
    }))

  it.effect("processes share the partitions, and take over those of one that leaves", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({
        capabilities,
        topics: { input: 4, output: 4 }
      })
      const first = yield* PipelineRig.fork(double)
      const other = yield* DriverDouble.make({ broker: double.broker, capabilities })
      yield* PipelineRig.start(other)
      for (let partition = 0; partition < 4; partition++) produce(double, partition, "a")
      yield* pass(2_000)
      assert.strictEqual(visible(double).length, 4)
      assert.isAbove(double.count("commit"), 0)
      assert.isAbove(other.count("commit"), 0)
      yield* first.stop()
      for (let partition = 0; partition < 4; partition++) produce(double, partition, "b")
      yield* pass(2_000)
      assert.strictEqual(visible(double).length, 8)
    }))
})

describe("the heartbeat before EndTxn, without group fencing", () => {
  for (
    const [code, revocationHold, commits] of [
      // The group waits for this member: nobody else has its partitions until it lets go.
      [27, true, true],
      [27, false, false],
      [25, true, false],
      [22, false, false]
    ] as const
  ) {
    const how = commits ? "may commit" : "does not commit"
    it.effect(`a member that hears ${code} ${how} (holding: ${revocationHold})`, () =>
      Effect.gen(function*() {
        const { double } = yield* PipelineRig.make({
          capabilities: { ...PipelineRig.modes[0][1], revocationHold }
        })
        double.script("heartbeat", Fault.Answer({ code }))
        produce(double, 0, "a")
        yield* pass(50, 10)
        assert.deepStrictEqual(visible(double), commits ? ["0:0:a"] : [])
        yield* pass(2_000)
        assert.deepStrictEqual(visible(double), ["0:0:a"])
        assert.strictEqual(double.count("abort"), commits ? 0 : 1)
      }))
  }

  it.effect("a heartbeat without an answer does not commit", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities: PipelineRig.modes[0][1] })
      double.script("heartbeat", Fault.Hang())
      produce(double, 0, "a")
      yield* pass(20_000)
      assert.deepStrictEqual([visible(double), double.count("abort")], [["0:0:a"], 1])
    }))
})

describe.each(PipelineRig.modes)("the end of a pipeline, %s", (_mode, capabilities) => {
  it.effect("an interruption lets the open transaction finish, and leaves the group", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const work = gated()
      const forked = yield* PipelineRig.fork(double, { process: work.process })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      produce(double, 0, "b")
      const stopping = yield* Effect.forkChild(forked.stop(), { startImmediately: true })
      yield* pass(2_000)
      assert.isUndefined(forked.fiber.pollUnsafe())
      yield* work.open
      yield* pass(2_000)
      assert.isDefined(stopping.pollUnsafe())
      assert.deepStrictEqual(visible(double), ["0:0:a"])
      assert.strictEqual(committed(double, 0), 1n)
      assert.deepStrictEqual(group(double).members(), [])
    }))

  it.effect("what does not finish within drainTimeout is aborted", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const work = gated()
      const forked = yield* PipelineRig.fork(double, {
        process: work.process,
        drainTimeout: "3 seconds"
      })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      yield* forked.stop(5_000)
      assert.deepStrictEqual([visible(double), committed(double, 0)], [[], null])
      assert.strictEqual(double.count("abort"), 1)
      assert.deepStrictEqual(group(double).members(), [])
    }))

  it.effect("a second signal aborts at once", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const work = gated()
      const second = Deferred.makeUnsafe<void>()
      const forked = yield* PipelineRig.fork(double, {
        process: work.process,
        drainTimeout: "6 seconds",
        abortNow: Deferred.await(second)
      })
      produce(double, 0, "a")
      yield* pass(500)
      yield* Deferred.await(work.entered)
      const stopping = yield* Effect.forkChild(forked.stop(), { startImmediately: true })
      yield* pass(1_000)
      assert.isUndefined(forked.fiber.pollUnsafe())
      yield* Deferred.succeed(second, undefined)
      yield* settle
      assert.isDefined(forked.fiber.pollUnsafe())
      assert.deepStrictEqual([visible(double), double.count("abort")], [[], 1])
      yield* pass(1_000)
      assert.isDefined(stopping.pollUnsafe())
    }))

  it.effect("a pipeline that fails leaves the group, so that others take over", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const forked = yield* PipelineRig.fork(double, { process: () => Effect.fail("own") })
      produce(double, 0, "a")
      yield* pass(5_000)
      assert(Exit.isFailure(PipelineRig.exitOf(forked)))
      assert.deepStrictEqual(group(double).members(), [])
    }))
})

describe.each(PipelineRig.modes)("a cluster that does not answer, %s", (_mode, capabilities) => {
  it.effect("the pipeline waits, says so once, fetches no more, and goes on by itself", () =>
    Effect.gen(function*() {
      let isCut = false
      const double = yield* PipelineRig.makeDouble({
        capabilities,
        fetchRecords: () => 5,
        chaos: (operation) => isCut && operation !== "close" ? Fault.NotSent() : null
      })
      const running = yield* PipelineRig.start(double)
      const events = yield* ConsumerRig.eventsOf(running)
      yield* pass(1_000)
      isCut = true
      for (let i = 0; i < 200; i++) produce(double, 0, `${i}`)
      yield* pass(10_000)
      const fetched = double.consumers[0]!.fetched.length
      yield* pass(120_000)
      // What it retries is read again, and no more than what it had.
      assert.isAtMost(double.consumers[0]!.fetched.length - fetched, 1)
      assert.strictEqual(tags(events).filter((tag) => tag === "Unreachable").length, 1)
      assert.notInclude(tags(events), "Reachable")
      isCut = false
      yield* pass(30_000)
      assert.strictEqual(visible(double).length, 200)
      assert.strictEqual(committed(double, 0), 200n)
      assert.strictEqual(tags(events).filter((tag) => tag === "Reachable").length, 1)
    }))

  it.effect("a session in the group that ends is replaced, and nothing is doubled", () =>
    Effect.gen(function*() {
      const { double, events } = yield* PipelineRig.make({ capabilities })
      produce(double, 0, "a")
      yield* pass(1_000)
      double.consumers[0]!.die(ConsumerDouble.failure("Heartbeat", null))
      produce(double, 0, "b")
      yield* pass(5_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b"])
      assert.includeMembers(tags(events), ["Rejoining", "Lost", "Reachable"])
    }))
})
