import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ConsumerDouble from "./support/ConsumerDouble.ts"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"
import * as Rig from "./support/Rig.ts"

const { pass, produce } = ConsumerRig
const { visible } = PipelineRig

const group = (double: DriverDouble.DriverDouble) => double.broker.group("billing", ["input"])

const [[, onePerPartition]] = PipelineRig.modes

/** The id of partition 0 where each partition has its own. */
const idOfFirst = "kafka-once.billing.input.0"

/** What somebody does who has the name of a pipeline, and is not in its group. */
const takeFirst = (double: DriverDouble.DriverDouble) =>
  double.broker.initialize(idOfFirst, 15_000, 0)

const endedOf = ({ fiber }: Effect.Success<ReturnType<typeof PipelineRig.fork>>) =>
  fiber.pollUnsafe()

/** A member with a transaction open, whose group has given its partitions to another one. */
const woken = (capabilities: NonNullable<DriverDouble.Options["capabilities"]>) =>
  Effect.gen(function*() {
    const double = yield* PipelineRig.makeDouble({ capabilities })
    const entered = Deferred.makeUnsafe<void>()
    const wake = Deferred.makeUnsafe<void>()
    const zombie = yield* PipelineRig.fork(double, {
      process: (batch) =>
        Deferred.succeed(entered, undefined).pipe(
          Effect.andThen(Deferred.await(wake)),
          Effect.andThen(PipelineRig.copy(batch))
        )
    })
    produce(double, 0, "a")
    produce(double, 1, "x")
    yield* pass(500)
    yield* Deferred.await(entered)
    const [session] = double.consumers
    const tell = group(double).kick(session!.memberId)
    const otherDouble = yield* DriverDouble.make({ broker: double.broker, capabilities })
    const other = yield* PipelineRig.fork(otherDouble)
    yield* pass(3_000)
    assert.sameMembers(visible(double), ["0:0:a", "1:0:x"])
    return {
      double,
      other,
      otherDouble,
      zombie,
      wake: Deferred.succeed(wake, undefined),
      /** Its own heartbeat is answered at last. */
      hear: () => {
        tell()
        session!.die(ConsumerDouble.failure("Heartbeat", 25))
      }
    }
  })

describe.each(PipelineRig.modes)("a member that was asleep, %s", (_mode, capabilities) => {
  it.effect("leaves the next owner in peace until it hears of its loss, and joins again", () =>
    Effect.gen(function*() {
      const { double, hear, other, otherDouble, wake, zombie } = yield* woken(capabilities)
      const before = [double, otherDouble].map((each) => each.count("initialize"))
      yield* wake
      // Longer than it would take to fence each other for good.
      yield* pass(10_000)
      assert.deepStrictEqual(
        [double, otherDouble].map((each) => each.count("initialize")),
        before,
        "somebody took an id back"
      )
      produce(double, 0, "b")
      yield* pass(2_000)
      assert.sameMembers(visible(double), ["0:0:a", "1:0:x", "0:1:b"])
      hear()
      yield* pass(2_000)
      assert.lengthOf(group(double).members(), 2)
      const commits = double.count("commit")
      for (const value of ["c", "d"]) {
        produce(double, 0, value)
        produce(double, 1, value)
        yield* pass(2_000)
      }
      assert.isAbove(double.count("commit"), commits, "it has no partition of its own again")
      assert.lengthOf(visible(double), 7)
      assert.deepStrictEqual([endedOf(zombie), endedOf(other)], [undefined, undefined])
      assert.deepStrictEqual(double.broker.regressions(), [])
    }))
})

describe("a fence of one partition's id, without group fencing", () => {
  it.effect("is not answered before the group has said whose the partition is", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities: onePerPartition })
      yield* pass(1_000)
      takeFirst(double)
      const before = double.count("initialize")
      double.always("heartbeat", Fault.NotSent())
      produce(double, 0, "a")
      yield* pass(10_000)
      assert.strictEqual(double.count("initialize"), before)
      assert.deepStrictEqual(visible(double), [])
      double.heal()
      yield* pass(10_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))

  it.effect("by a stranger that goes on taking it ends the pipeline", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities: onePerPartition })
      const forked = yield* PipelineRig.fork(double)
      for (let fence = 1; fence <= 3; fence++) {
        assert.isUndefined(endedOf(forked))
        yield* pass(30_000)
        takeFirst(double)
        produce(double, 0, `${fence}`)
        yield* pass(1_000)
      }
      const { transactionalId } = Rig.reason(PipelineRig.exitOf(forked), "ProducerFenced")
      assert.strictEqual(transactionalId, idOfFirst)
      assert.deepStrictEqual(group(double).members(), [])
    }))

  it.effect("by members that wake up once in a long while never does", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities: onePerPartition })
      const forked = yield* PipelineRig.fork(double)
      yield* pass(1_000)
      for (let fence = 0; fence < 6; fence++) {
        takeFirst(double)
        produce(double, 0, `${fence}`)
        yield* pass(240_000, 2_000)
      }
      assert.isUndefined(endedOf(forked))
      assert.lengthOf(visible(double), 6)
    }))
})
