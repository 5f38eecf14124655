import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

const { pass, produce, settle, values } = ConsumerRig

const at = (partition: number) => ({ topic: "input", partition })

/** A consumer over a partition with a record for each letter, one of which is fetched at a time. */
const letters = Effect.fnUntraced(function*(text: string) {
  const rig = yield* ConsumerRig.make({
    topics: { input: 1, orders: 1 },
    fetchRecords: () => 1
  })
  for (const letter of text) produce(rig.double, 0, letter)
  yield* settle
  return { ...rig, next: yield* ConsumerRig.pull(rig.consumer) }
})

const committed = ({ double }: { readonly double: Rig.Rig["double"] }) =>
  double.broker.committedOffset("billing", at(0)).offset

describe("a seek", () => {
  it.effect("goes on from there, and what was fetched before is not handed out", () =>
    Effect.gen(function*() {
      const { consumer, next } = yield* letters("abcde")
      assert.deepStrictEqual(values((yield* next).records), ["a"])
      // "b" waits in the queue, "c" to be put there.
      yield* settle
      yield* consumer.seek(at(0), 4n)
      assert.deepStrictEqual(values((yield* next).records), ["e"])
      yield* consumer.seek(at(0), 1n)
      assert.deepStrictEqual(values((yield* next).records), ["b"])
      assert.deepStrictEqual(values((yield* next).records), ["c"])
    }))

  it.effect("goes to the ends of the log, and is told", () =>
    Effect.gen(function*() {
      const { consumer, double, events, next } = yield* letters("abc")
      yield* next
      yield* consumer.seek(at(0), "latest")
      produce(double, 0, "new")
      assert.deepStrictEqual(values((yield* next).records), ["new"])
      yield* consumer.seek(at(0), "earliest")
      assert.deepStrictEqual(values((yield* next).records), ["a"])
      yield* consumer.seek(at(0), 2n)
      yield* settle
      const told = events.flatMap((event) =>
        event._tag === "Positioned" && event.topicPartition.partition === 0 ? [event.position] : []
      )
      assert.deepStrictEqual(told, [null, null, null, 2n])
    }))

  it.effect("makes what was handed out before it impossible to commit", () =>
    Effect.gen(function*() {
      const { consumer, double, next } = yield* letters("abc")
      const before = yield* next
      yield* consumer.seek(at(0), 0n)
      Rig.reason(yield* Effect.exit(consumer.commit(before.offsets)), "OffsetsSuperseded")
      assert.strictEqual(double.count("commitOffsets"), 0)
      yield* consumer.commit((yield* next).offsets)
      assert.strictEqual(committed({ double }), 1n)
    }))

  it.effect("so does a rewind", () =>
    Effect.gen(function*() {
      const { consumer, double, next } = yield* letters("abc")
      const before = yield* next
      yield* consumer.rewind([before])
      Rig.reason(yield* Effect.exit(consumer.commit(before.offsets)), "OffsetsSuperseded")
      assert.strictEqual(double.count("commitOffsets"), 0)
    }))

  it.effect("makes it impossible in a transaction, too, also when it comes in the middle", () =>
    Effect.gen(function*() {
      const { consumer, double, next } = yield* letters("abc")
      const producer = yield* Rig.makeProducer(double)
      const before = yield* next
      const during = yield* Effect.exit(
        Rig.scopeForm(producer, (transaction) =>
          Effect.gen(function*() {
            yield* transaction.send([Rig.record("result")])
            yield* transaction.sendOffsets(before.offsets)
            yield* consumer.seek(at(0), 0n)
          }))
      )
      assert.include(Rig.reason(during, "TransactionTainted").first, "before a seek")
      const after = yield* Effect.exit(
        Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(before.offsets))
      )
      Rig.reason(after, "OffsetsSuperseded")
      assert.strictEqual(double.count("sendOffsets"), 0)
      assert.notInclude(double.visible(), "result")
      assert.strictEqual(committed({ double }), null)
    }))

  it.effect("leaves nothing that a rebalance has to wait for", () =>
    Effect.gen(function*() {
      const { consumer, double, events, next } = yield* letters("abc")
      yield* next
      yield* consumer.seek(at(0), "latest")
      yield* ConsumerRig.makeConsumer(double)
      yield* settle
      assert.include(events.map(({ _tag }) => _tag), "Revoked")
    }))

  it.effect("of a partition that is not owned, or is lost meanwhile, fails", () =>
    Effect.gen(function*() {
      const { consumer, double } = yield* letters("abc")
      Rig.reason(yield* Effect.exit(consumer.seek(at(7), 0n)), "ConsumerFenced")
      double.always("seek", Fault.Hang())
      const seeking = yield* Effect.forkChild(consumer.seek(at(0), 0n))
      yield* settle
      const [session] = double.consumers
      double.broker.group("billing", ["input"]).kick(session!.memberId)()
      yield* settle
      Rig.reason(yield* Fiber.await(seeking), "ConsumerFenced")
    }))

  it.effect("is possible as soon as the partition is assigned", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ topics: { input: 1, orders: 1 } })
      for (const letter of ["a", "b", "c"]) produce(double, 0, letter)
      const consumer = yield* ConsumerRig.makeConsumer(double)
      const seeking = yield* Effect.forkChild(
        Stream.runHead(Stream.filter(consumer.events, ({ _tag }) => _tag === "Assigned")).pipe(
          Effect.andThen(consumer.seek(at(0), 2n))
        ),
        { startImmediately: true }
      )
      yield* Fiber.join(seeking)
      const next = yield* ConsumerRig.pull(consumer)
      assert.deepStrictEqual(values((yield* next).records), ["c"])
    }))

  it.effect("and another at once: both are answered, and the last one counts", () =>
    Effect.gen(function*() {
      const { consumer, next } = yield* letters("abc")
      yield* Effect.all([1n, 0n, 2n].map((to) => consumer.seek(at(0), to)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(values((yield* next).records), ["c"])
    }))

  it.effect("waits while brokers do not answer", () =>
    Effect.gen(function*() {
      const { consumer, double, next } = yield* letters("abc")
      double.always("seek", Fault.NoAnswer())
      const seeking = yield* Effect.forkChild(consumer.seek(at(0), 2n))
      yield* pass(20_000)
      assert.isUndefined(seeking.pollUnsafe())
      double.heal()
      yield* pass(6_000)
      assert(Exit.isSuccess(yield* Fiber.await(seeking)))
      assert.deepStrictEqual(values((yield* next).records), ["c"])
    }))

  it.effect("that is refused for good ends the batches, so that nothing is skipped", () =>
    Effect.gen(function*() {
      const { consumer, double, next } = yield* letters("abc")
      yield* next
      yield* settle
      double.always("seek", Fault.Answer({ code: 29 }))
      Rig.reason(yield* Effect.exit(consumer.seek(at(0), "latest")), "NotAuthorized")
      Rig.reason(yield* Effect.exit(Stream.runDrain(consumer.batches)), "NotAuthorized")
    }))

  for (const to of [-1n, 2n ** 63n, 3, "middle"]) {
    it.effect(`to ${to} (${typeof to}) is refused`, () =>
      Effect.gen(function*() {
        const { consumer, double } = yield* letters("abc")
        const before = double.count("seek")
        const exit = yield* Effect.exit(consumer.seek(at(0), to as bigint))
        assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "to")
        assert.strictEqual(double.count("seek"), before)
      }))
  }

  it.effect("behind the end of the log fails as the options say", () =>
    Effect.gen(function*() {
      const { consumer } = yield* letters("abc")
      yield* consumer.seek(at(0), 1_000n)
      const exit = yield* Effect.exit(Stream.runDrain(consumer.batches))
      assert.strictEqual(Rig.reason(exit, "OffsetOutOfRange").position, 1_000n)
    }))
})
