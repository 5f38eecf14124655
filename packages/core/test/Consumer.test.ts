import { assert, describe, it } from "@effect/vitest"
import { SessionEvent } from "@kafka-once/core/ConsumerDriver"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as ConsumerDouble from "./support/ConsumerDouble.ts"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

const { pass, produce, settle, values } = ConsumerRig

const tags = (events: ReadonlyArray<{ readonly _tag: string }>) => events.map(({ _tag }) => _tag)

describe("a consumer that cannot start", () => {
  const failing = [
    ["no group id", { groupId: "" }, "Misconfigured"],
    ["no topic", { topics: [] }, "Misconfigured"],
    ["a topic that does not exist", { topics: ["nowhere"] }, "UnknownTopic"],
    ["a heartbeat too rare for its session", { heartbeatInterval: "20 seconds" }, "Misconfigured"],
    [
      "a heartbeat of its own in the consumer protocol",
      { groupProtocol: "consumer", heartbeatInterval: "1 second" },
      "Misconfigured"
    ],
    ["a prefetch of nothing", { maxPrefetchRecords: 0 }, "Misconfigured"]
  ] as const
  for (const [what, consumer, tag] of failing) {
    it.effect(`${what}: typed, and no session is opened`, () =>
      Effect.gen(function*() {
        const double = yield* ConsumerRig.make({ consumer }).pipe(Effect.exit, Rig.timed)
        assert(Exit.isSuccess(double.exit))
        Rig.reason(double.exit.value, tag)
      }))
  }

  for (
    const [lacking, consumer] of [
      ["correctReadCommitted", {}],
      ["staticMembership", { groupInstanceId: "a" }],
      ["consumerGroupProtocol", { groupProtocol: "consumer" }]
    ] as const
  ) {
    it.effect(`a driver without ${lacking} is refused`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(
          ConsumerRig.make({ capabilities: { [lacking]: false }, consumer })
        )
        assert.include(Rig.reason(exit, "UnsupportedByDriver").capability, lacking)
      }))
  }

  it.effect("a broker without the consumer protocol refuses it at once, and says what to do", () =>
    Effect.gen(function*() {
      const made = yield* Effect.exit(Effect.gen(function*() {
        const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
        double.script(
          "openConsumer",
          Fault.Answer({ code: 35, request: "ConsumerGroupHeartbeat" })
        )
        return yield* ConsumerRig.makeConsumer(double, { groupProtocol: "consumer" })
      }))
      assert.include(Rig.reason(made, "UnsupportedByBroker").message, "Leave groupProtocol out")
    }))

  it.effect("a group without rights is refused at once", () =>
    Effect.gen(function*() {
      const made = yield* Effect.exit(Effect.gen(function*() {
        const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
        double.script("openConsumer", Fault.Answer({ code: 30 }))
        return yield* ConsumerRig.makeConsumer(double)
      }))
      const { name, resource } = Rig.reason(made, "NotAuthorized")
      assert.deepStrictEqual([resource, name], ["group", "billing"])
    }))

  it.effect("a cluster that does not answer fails after connectTimeout", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
      double.always("openConsumer", Fault.NotSent())
      const { exit, millis } = yield* Rig.timed(ConsumerRig.makeConsumer(double))
      Rig.reason(exit, "Unreachable")
      assert.strictEqual(millis, 10_000)
    }))

  it.effect("a cluster that cannot be asked about the topics: for how long, and why", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
      double.always("partitionCount", Fault.NotSent())
      const { exit, millis } = yield* Rig.timed(ConsumerRig.makeConsumer(double))
      const { last, sinceMillis } = Rig.reason(exit, "Unreachable")
      assert.deepStrictEqual([millis, sinceMillis], [3_000, 3_000])
      assert.include(last, "Metadata: NotSent")
    }))

  it.effect("a cluster that puts the question about the topics off: with its code", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
      double.always("partitionCount", Fault.Answer({ code: 5 }))
      const { exit } = yield* Rig.timed(ConsumerRig.makeConsumer(double))
      const { afterMillis, last, request } = Rig.reason(exit, "TimedOut")
      assert.deepStrictEqual([request, afterMillis], ["Metadata", 3_000])
      assert.include(last, "LEADER_NOT_AVAILABLE")
    }))
})

describe("a consumer", () => {
  it.effect("hands out what is committed, in order, from the group's position", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      double.broker.commitOffsets("billing", [{ topic: "input", partition: 0, offset: 1n }])
      produce(double, 0, "a", "b", "c")
      const next = yield* ConsumerRig.pull(consumer)
      assert.deepStrictEqual(values((yield* next).records), ["b", "c"])
    }))

  it.effect("commits, and another member goes on from there", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
      produce(double, 0, "a", "b")
      yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* ConsumerRig.makeConsumer(double)
        const batch = yield* yield* ConsumerRig.pull(consumer)
        assert.deepStrictEqual(values(batch.records), ["a", "b"])
        yield* consumer.commit(batch.offsets)
      }))
      produce(double, 0, "c")
      const consumer = yield* ConsumerRig.makeConsumer(double)
      assert.deepStrictEqual(values((yield* yield* ConsumerRig.pull(consumer)).records), ["c"])
    }))

  it.effect("takes nothing while nobody pulls (back-pressure)", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make({ fetchRecords: () => 1 })
      for (let i = 0; i < 50; i++) produce(double, 0, `${i}`)
      yield* pass(10_000)
      // One in the queue, and one that waits to be put there.
      assert.isAtMost(double.consumers[0]!.fetched.length, 2)
      const next = yield* ConsumerRig.pull(consumer)
      for (let i = 0; i < 50; i++) {
        assert.deepStrictEqual(values((yield* next).records), [`${i}`])
      }
    }))

  it.effect("tells its positions, and the lag to the last stable offset", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make({ fetchRecords: () => 1 })
      produce(double, 0, "a")
      produce(double, 0, "b")
      yield* yield* ConsumerRig.pull(consumer)
      const identity = double.broker.initialize("other", 60_000, 0)
      double.broker.append(
        "other",
        identity,
        {
          topic: "input",
          partition: 0,
          records: [ConsumerRig.encode("open")]
        },
        0,
        0
      )
      yield* settle
      const [first] = yield* consumer.positions
      // "b" waits in the queue, and the open transaction is no lag.
      assert.deepStrictEqual(first, {
        topic: "input",
        partition: 0,
        position: 2n,
        lagRecords: 0n,
        paused: false
      })
    }))

  it.effect("a paused partition is not fetched, also after a rebalance, until it is resumed", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      yield* settle
      yield* consumer.pause([{ topic: "input", partition: 0 }])
      produce(double, 0, "a")
      produce(double, 1, "b")
      const next = yield* ConsumerRig.pull(consumer)
      const batch = yield* next
      assert.deepStrictEqual(values(batch.records), ["b"])
      yield* consumer.commit(batch.offsets)
      double.broker.group("billing").rebalance()
      yield* pass(1_000)
      assert.strictEqual(double.consumers[0]!.fetched.length, 1)
      yield* consumer.resume()
      assert.deepStrictEqual(values((yield* next).records), ["a"])
    }))

  it.effect("a rebalance is held until what was handed out is committed", () =>
    Effect.gen(function*() {
      const { consumer, double, events } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const batch = yield* yield* ConsumerRig.pull(consumer)
      const group = double.broker.group("billing")
      group.rebalance()
      yield* pass(5_000)
      assert.strictEqual(group.generation(), 1)
      yield* consumer.commit(batch.offsets)
      yield* settle
      assert.strictEqual(group.generation(), 2)
      assert.includeMembers(tags(events), ["Revoking", "Revoked", "Assigned"])
    }))

  it.effect("a rebalance is not held past the budget, and a late commit is refused", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const batch = yield* yield* ConsumerRig.pull(consumer)
      double.broker.group("billing").rebalance()
      yield* pass(60_000)
      assert.strictEqual(double.broker.group("billing").generation(), 2)
      Rig.reason(yield* Effect.exit(consumer.commit(batch.offsets)), "ConsumerFenced")
    }))

  it.effect("what a lost partition had waiting is not handed out, and comes again", () =>
    Effect.gen(function*() {
      const { consumer, double, events } = yield* ConsumerRig.make({
        capabilities: { revocationHold: false }
      })
      produce(double, 0, "a")
      yield* settle
      double.broker.group("billing").rebalance()
      yield* settle
      const next = yield* ConsumerRig.pull(consumer)
      const batch = yield* next
      assert.deepStrictEqual(values(batch.records), ["a"])
      assert.strictEqual(batch.offsets.membership.generationId, 2)
      assert.include(tags(events), "Lost")
      assert.strictEqual(double.consumers[0]!.fetched.length, 2)
    }))

  it.effect("rewind hands out again what was not committed", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make({ fetchRecords: () => 1 })
      for (const value of ["a", "b", "c"]) produce(double, 0, value)
      const next = yield* ConsumerRig.pull(consumer)
      const first = yield* next
      yield* consumer.commit(first.offsets)
      assert.deepStrictEqual(values((yield* next).records), ["b"])
      yield* consumer.rewind([first])
      assert.deepStrictEqual(values((yield* next).records), ["b"])
      assert.deepStrictEqual(values((yield* next).records), ["c"])
    }))

  it.effect("joins again by itself, and says so, when its session ends", () =>
    Effect.gen(function*() {
      const { consumer, double, events } = yield* ConsumerRig.make()
      yield* settle
      double.always("openConsumer", Fault.NotSent())
      double.consumers[0]!.die(ConsumerDouble.failure("Heartbeat", null))
      yield* pass(60_000)
      // Pauses that double up to 5 seconds: 60 seconds are no storm.
      assert.isAtMost(double.count("openConsumer"), 20)
      double.heal()
      produce(double, 0, "a")
      yield* pass(6_000)
      const next = yield* ConsumerRig.pull(consumer)
      assert.deepStrictEqual(values((yield* next).records), ["a"])
      assert.includeMembers(tags(events), ["Unreachable", "Rejoining", "Reachable"])
      assert.strictEqual(tags(events).filter((tag) => tag === "Unreachable").length, 1)
    }))

  for (const [code, tag] of [[30, "NotAuthorized"], [82, "ConsumerFenced"]] as const) {
    it.effect(`its batches fail with ${tag} when its session is refused for good`, () =>
      Effect.gen(function*() {
        const { consumer, double } = yield* ConsumerRig.make()
        yield* settle
        double.consumers[0]!.die(ConsumerDouble.failure("JoinGroup", code))
        const exit = yield* Effect.exit(Stream.runDrain(consumer.batches))
        Rig.reason(exit, tag)
      }))
  }

  it.effect("a position that is not in the log fails, unless the options say where to go on", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      double.broker.commitOffsets("billing", [{ topic: "input", partition: 0, offset: 7n }])
      const exit = yield* Effect.exit(Stream.runDrain(consumer.batches))
      assert.strictEqual(Rig.reason(exit, "OffsetOutOfRange").position, 7n)
      yield* Effect.scoped(Effect.gen(function*() {
        produce(double, 0, "a")
        const other = yield* ConsumerRig.makeConsumer(double, { whenOutOfRange: "earliest" })
        double.broker.commitOffsets("billing", [{ topic: "input", partition: 1, offset: 9n }])
        const next = yield* ConsumerRig.pull(other)
        assert.deepStrictEqual(values((yield* next).records), ["a"])
      }))
    }))

  it.effect("a batch that does not follow the one before is sought again, not handed out", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make({ fetchRecords: () => 1 })
      const all = ["a", "b", "c", "d", "e", "f"]
      for (const value of all) produce(double, 0, value)
      const next = yield* ConsumerRig.pull(consumer)
      const seen = [...values((yield* next).records)]
      double.consumers[0]!.jump({ topic: "input", partition: 0 }, 1n)
      while (seen.length < all.length) seen.push(...values((yield* next).records))
      assert.deepStrictEqual(seen, all)
      // The first from the start, the second after the jump.
      assert.strictEqual(
        double.consumers[0]!.sought.filter(({ partition }) => partition === 0).length,
        2
      )
    }))

  it.effect("a membership that changes nothing else keeps what was handed out committable", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const batch = yield* yield* ConsumerRig.pull(consumer)
      const membership = { ...batch.offsets.membership, generationId: 5 }
      double.consumers[0]!.tell(SessionEvent.Assigned({ membership, partitions: [] }))
      yield* settle
      // The coordinator of the double is still in generation 1: the newer one is what was sent.
      Rig.reason(yield* Effect.exit(consumer.commit(batch.offsets)), "ConsumerFenced")
    }))

  it.effect("a commit without an answer is sent again", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const batch = yield* yield* ConsumerRig.pull(consumer)
      double.script("commitOffsets", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(consumer.commit(batch.offsets))
      assert(Exit.isSuccess(exit))
      assert.strictEqual(double.broker.committedOffset("billing", batch).offset, 1n)
    }))

  it.effect("a commit under an epoch that is over is sent again under the one of now", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const batch = yield* yield* ConsumerRig.pull(consumer)
      double.script("commitOffsets", Fault.Answer({ code: 113 }))
      const { exit } = yield* Rig.timed(consumer.commit(batch.offsets))
      assert(Exit.isSuccess(exit))
      assert.strictEqual(double.broker.committedOffset("billing", batch).offset, 1n)
    }))

  it.effect("and is not sent again once its partition is taken away", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const { offsets, partition, topic } = yield* yield* ConsumerRig.pull(consumer)
      double.script("commitOffsets", Fault.Answer({ code: 113 }))
      const committing = yield* Effect.forkScoped(Effect.exit(consumer.commit(offsets)))
      yield* settle
      double.consumers[0]!.tell(SessionEvent.Lost({ partitions: [{ topic, partition }] }))
      yield* pass(1_000)
      Rig.reason(yield* Fiber.join(committing), "ConsumerFenced")
      assert.strictEqual(double.count("commitOffsets"), 1)
    }))

  it.effect("I4: a commit of offsets that are not a batch's own is refused", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* ConsumerRig.make()
      produce(double, 0, "a")
      const { offsets } = yield* yield* ConsumerRig.pull(consumer)
      const exit = yield* Effect.exit(consumer.commit(structuredClone(offsets)))
      assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "offsets")
      assert.strictEqual(double.count("commitOffsets"), 0)
      yield* consumer.commit(offsets)
    }))

  it.effect("leaves its group when its scope closes", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
      produce(double, 0, "a")
      const fiber = yield* Effect.forkChild(Effect.scoped(Effect.gen(function*() {
        const consumer = yield* ConsumerRig.makeConsumer(double)
        yield* Stream.runForEach(consumer.batches, () => Effect.never)
      })))
      yield* settle
      assert.strictEqual(double.broker.group("billing").members().length, 1)
      yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* pass(1_000)
      assert.isDefined(fiber.pollUnsafe())
      assert.strictEqual(double.broker.group("billing").members().length, 0)
    }))
})
