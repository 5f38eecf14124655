import { assert, describe, it } from "@effect/vitest"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type * as Topic from "@kafka-once/core/Topic"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { type Call, type DriverDouble, Fault } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"
import * as Rig from "./support/Rig.ts"

const { pass, produce } = ConsumerRig
const { committed, visible } = PipelineRig

const count = (double: DriverDouble, ...operations: ReadonlyArray<Call["operation"]>) =>
  operations.map((operation) => double.count(operation))

describe.each(PipelineRig.modes)("a pipeline, %s", (mode, capabilities) => {
  it.effect("commits results and offsets together, each partition in order", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities })
      produce(double, 0, "a", "b", "c")
      produce(double, 1, "x")
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b", "0:2:c", "1:0:x"])
      assert.deepStrictEqual([committed(double, 0), committed(double, 1)], [3n, 1n])
    }))

  it.effect("I4, rule 10: offsets go once a transaction, behind the last record", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities, fetchRecords: () => 2 })
      for (let i = 0; i < 10; i++) produce(double, 0, `${i}`)
      yield* pass(1_000)
      assert.strictEqual(committed(double, 0), 10n)
      assert.isAtLeast(double.count("commit"), 1)
      assert.strictEqual(double.count("sendOffsets"), double.count("commit"))
    }))

  it.effect("rule 10: the offset is past the markers behind the last record", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const identity = double.broker.initialize("other", 60_000, 0)
      const batch = { topic: "input", partition: 0, records: [ConsumerRig.encode("a")] }
      double.broker.append("other", identity, batch, 0, 0)
      double.broker.end("other", identity, "commit", 0)
      yield* PipelineRig.start(double)
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
      assert.strictEqual(committed(double, 0), 2n)
    }))

  it.effect("rule 13: what it has committed is not read again while the group does not know", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      let failures = 1
      let asked = 0
      const driver = KafkaDriver.of({
        ...double.driver,
        // EndTxn is answered before the offsets of its transaction are visible.
        committedOffsets: (_, partitions) =>
          Effect.sync(() => {
            asked += 1
            return partitions.map((at) => ({ ...at, offset: null, metadata: null }))
          })
      })
      yield* PipelineRig.start({ ...double, driver }, {
        process: (batch) =>
          Effect.gen(function*() {
            const isFailing = batch.records.some(({ value }) => value === "b") && failures-- > 0
            if (isFailing) return yield* Effect.fail("own")
            yield* PipelineRig.copy(batch)
          })
      })
      produce(double, 0, "a")
      yield* pass(1_000)
      const before = asked
      produce(double, 0, "b")
      yield* pass(1_000)
      assert.isAbove(asked, before)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b"])
    }))

  it.effect("rule 11: after an abort exactly its partitions are read from the committed one", () =>
    Effect.gen(function*() {
      let failures = 1
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: {
          process: (batch) =>
            Effect.andThen(
              PipelineRig.copy(batch),
              Effect.suspend(() =>
                batch.records.some(({ value }) => value === "b") && failures-- > 0
                  ? Effect.fail("own")
                  : Effect.void
              )
            )
        }
      })
      produce(double, 0, "a")
      produce(double, 1, "x")
      yield* pass(1_000)
      const before = double.consumers[0]!.sought.length
      produce(double, 0, "b", "c")
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b", "0:2:c", "1:0:x"])
      assert.deepStrictEqual(double.consumers[0]!.sought.slice(before), [
        { topic: "input", partition: 0, to: 1n }
      ])
    }))

  for (const fault of [Fault.ActNoAnswer(), Fault.NoAnswer()]) {
    it.effect(`rule 13: an unknown commit (${fault._tag}) is read, not guessed`, () =>
      Effect.gen(function*() {
        const { double } = yield* PipelineRig.make({
          capabilities: { ...capabilities, commitRetry: false }
        })
        double.script("commit", fault)
        double.script("endMarker", Fault.Hang())
        double.script("endMarker", Fault.Hang())
        produce(double, 0, "a", "b")
        yield* pass(60_000)
        assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b"])
        assert.strictEqual(committed(double, 0), 2n)
        double.heal()
        for (const script of double.scripts) script.fired = true
      }))
  }

  it.effect("rule 15: without records nothing is asked of the transaction coordinator", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities })
      yield* pass(30_000)
      assert.deepStrictEqual(count(double, "begin", "sendOffsets", "commit", "abort"), [0, 0, 0, 0])
    }))

  it.effect("rule 18: records of aborted transactions are not processed", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities })
      const identity = double.broker.initialize("other", 60_000, 0)
      const batch = { topic: "input", partition: 0, records: [ConsumerRig.encode("aborted")] }
      double.broker.append("other", identity, batch, 0, 0)
      produce(double, 0, "a")
      double.broker.end("other", identity, "abort", 0)
      produce(double, 0, "b")
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:1:a", "0:3:b"])
    }))

  it.effect("rule 19: no offset is committed outside of a transaction", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities })
      produce(double, 0, "a")
      yield* pass(10_000)
      assert.strictEqual(committed(double, 0), 1n)
      assert.strictEqual(double.count("commitOffsets"), 0)
    }))

  it.effect("4.5: the order of a commit is sends, offsets, heartbeat where needed, EndTxn", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities })
      produce(double, 0, "a")
      yield* pass(1_000)
      const order = double.operations().filter((operation) =>
        ["send", "sendOffsets", "heartbeat", "commit"].includes(operation)
      )
      assert.deepStrictEqual(
        order,
        mode === "one id a partition"
          ? ["send", "sendOffsets", "heartbeat", "commit"]
          : ["send", "sendOffsets", "commit"]
      )
      assert.deepStrictEqual(double.consumers[0]!.settled, [
        { topic: "input", partition: 0, offset: 1n }
      ])
    }))

  it.effect("bounds a transaction by records", () =>
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const { double } = yield* PipelineRig.make({
        capabilities,
        fetchRecords: () => 100,
        pipeline: {
          batch: { records: 7 },
          process: (batch) =>
            Effect.andThen(
              Effect.sync(() => sizes.push(batch.records.length)),
              PipelineRig.copy(batch)
            )
        }
      })
      produce(double, 0, ...Array.from({ length: 20 }, (_, i) => `${i}`))
      yield* pass(1_000)
      assert.deepStrictEqual(sizes, [7, 7, 6])
      assert.strictEqual(visible(double).length, 20)
    }))

  it.effect("a defect of process stays the same defect, and nothing is committed", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const defect = new Error("a bug")
      const forked = yield* PipelineRig.fork(double, {
        process: (batch) => Effect.andThen(PipelineRig.copy(batch), Effect.die(defect))
      })
      produce(double, 0, "a")
      yield* pass(5_000)
      const exit = PipelineRig.exitOf(forked)
      assert(Exit.isFailure(exit))
      assert.include(
        exit.cause.reasons.map((reason) => Cause.isDieReason(reason) ? reason.defect : null),
        defect
      )
      assert.deepStrictEqual([visible(double), committed(double, 0)], [[], null])
    }))
})

describe("transactional ids", () => {
  it.effect("I5: an id a partition, initialised before the offsets are read, then sought", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities: PipelineRig.modes[0][1] })
      produce(double, 0, "a")
      produce(double, 1, "x")
      yield* pass(1_000)
      const ids = double.calls.filter(({ operation }) => operation === "initialize")
        .map(({ transactionalId }) => transactionalId)
      assert.sameMembers(ids, ["kafka-once.billing.input.0", "kafka-once.billing.input.1"])
      const first = (operation: Call["operation"]) => double.operations().indexOf(operation)
      assert.isBelow(first("initialize"), first("committedOffsets"))
      assert.isBelow(first("committedOffsets"), first("seek"))
      assert.isBelow(first("seek"), first("send"))
    }))

  it.effect("I5: group fencing without stable offsets is not enough for one id a process", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities: { groupFencing: true, stableOffsets: false }
      })
      produce(double, 0, "a")
      yield* pass(1_000)
      const ids = double.calls.filter(({ operation }) => operation === "initialize")
        .map(({ transactionalId }) => transactionalId)
      assert.sameMembers(ids, ["kafka-once.billing.input.0", "kafka-once.billing.input.1"])
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))

  it.effect("with group fencing one id serves all partitions, with the group's generation", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities: PipelineRig.modes[1][1],
        pipeline: { instanceId: "pod-1" }
      })
      produce(double, 0, "a")
      produce(double, 1, "x")
      yield* pass(1_000)
      const ids = double.calls.map(({ transactionalId }) => transactionalId).filter((id) =>
        id !== ""
      )
      assert.deepStrictEqual([...new Set(ids)], ["kafka-once.billing.pod-1.0"])
      assert.deepStrictEqual(visible(double), ["0:0:a", "1:0:x"])
    }))

  it.effect("rule 14: a fence by a member that was out of the group for a moment is survived", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({ capabilities: PipelineRig.modes[0][1] })
      yield* pass(1_000)
      double.broker.initialize("kafka-once.billing.input.0", 15_000, 0)
      produce(double, 0, "a")
      yield* pass(10_000)
      assert.deepStrictEqual(visible(double), ["0:0:a"])
    }))

  it.effect("rule 14: two that take the id from each other do not go on for ever", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities: PipelineRig.modes[0][1] })
      const forked = yield* PipelineRig.fork(double)
      for (let i = 0; i < 10 && forked.fiber.pollUnsafe() === undefined; i++) {
        yield* pass(2_000)
        double.broker.initialize("kafka-once.billing.input.0", 15_000, 0)
        produce(double, 0, "a")
        yield* pass(1_000)
      }
      Rig.reason(PipelineRig.exitOf(forked), "ProducerFenced")
      assert.isBelow(double.count("initialize"), 10)
    }))

  it.effect("with group fencing a fence of the process's own id is fatal", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities: PipelineRig.modes[1][1] })
      const forked = yield* PipelineRig.fork(double, { instanceId: "pod-1" })
      yield* pass(1_000)
      double.broker.initialize("kafka-once.billing.pod-1.0", 15_000, 0)
      produce(double, 0, "a")
      yield* pass(5_000)
      Rig.reason(PipelineRig.exitOf(forked), "ProducerFenced")
      assert.deepStrictEqual(visible(double), [])
    }))
})

describe("the other forms of process", () => {
  it.effect("eachRecord sends what it answers for each, in order", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        pipeline: {
          process: ExactlyOnce.eachRecord(({ value }: Topic.Decoded<unknown, string | null>) =>
            Effect.succeed(
              value === "none" ? [] : ["1", "2"].map((n) => ({
                topic: "output",
                partition: 0,
                value: `${value}${n}`
              }))
            )
          )
        }
      })
      produce(double, 0, "a", "none", "b")
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["a1", "a2", "b1", "b2"])
      assert.strictEqual(double.count("send"), 1)
    }))

  it.effect("a batch that sends nothing commits its offsets", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        pipeline: { process: ExactlyOnce.eachRecord(() => Effect.succeed([])) }
      })
      produce(double, 0, "a")
      yield* pass(1_000)
      assert.strictEqual(committed(double, 0), 1n)
    }))

  it.effect("stage is a stage of a stream", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        pipeline: {
          process: ExactlyOnce.stage((
            records: Stream.Stream<Topic.Decoded<unknown, string | null>>
          ) =>
            Stream.map(records, ({ value }) => ({
              topic: "output",
              partition: 0,
              value: `${value}!`
            }))
          )
        }
      })
      produce(double, 0, "a", "b")
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["a!", "b!"])
    }))

  it.effect("a launched layer fails with what the pipeline fails with", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble()
      produce(double, 0, "a")
      const launched = Layer.launch(
        ExactlyOnce.layer({
          groupId: "billing",
          input: PipelineRig.input,
          retry: Schedule.recurs(0),
          process: () => Effect.fail("own")
        })
      ).pipe(Effect.provideService(KafkaDriver, double.driver))
      const { exit } = yield* Rig.timed(launched)
      Rig.failsWith(exit, "own")
    }))
})
