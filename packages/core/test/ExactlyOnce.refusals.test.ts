import { assert, describe, it } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { Fault, text } from "./support/DriverDouble.ts"
import * as PipelineRig from "./support/PipelineRig.ts"
import * as Rig from "./support/Rig.ts"

const { pass, produce } = ConsumerRig
const { committed, visible } = PipelineRig

describe.each(PipelineRig.modes)("poison, %s", (_mode, capabilities) => {
  const failsOn = (value: string, seen: Array<string> = []) => (batch: PipelineRig.Input) =>
    Effect.gen(function*() {
      seen.push(batch.records.map((record) => record.value).join())
      yield* PipelineRig.copy(batch)
      if (batch.records.some((record) => record.value === value)) {
        return yield* Effect.fail({ _tag: "TooBad", message: "no" } as const)
      }
    })

  it.effect("goes to the dead-letter topic with its offset; the others are committed", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: { process: failsOn("bad"), deadLetterTopic: "dead" }
      })
      produce(double, 0, "a", "b", "bad", "c", "d")
      yield* pass(5_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:1:b", "0:3:c", "0:4:d"])
      assert.strictEqual(committed(double, 0), 5n)
      const letters = double.broker.visible().filter(({ topic }) => topic === "dead")
      assert.deepStrictEqual(letters.map(({ record }) => text(record.value)), ["bad"])
      const headers = letters[0]!.record.headers.map(([name, value]) => [name, text(value)])
      assert.deepStrictEqual(Object.fromEntries(headers), {
        "kafka-once.dead-letter.error": "TooBad",
        "kafka-once.dead-letter.message": "",
        "kafka-once.dead-letter.group": "billing",
        "kafka-once.dead-letter.topic": "input",
        "kafka-once.dead-letter.partition": "0",
        "kafka-once.dead-letter.offset": "2",
        // Four of the batch, the first and three retries; and once by itself, behind "a" and "b".
        "kafka-once.dead-letter.attempts": "5"
      })
    }))

  it.effect("is tried again by the schedule first, and then without a pause", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: {
          process: failsOn("bad", seen),
          deadLetterTopic: "dead",
          retry: Schedule.spaced("10 seconds").pipe(Schedule.upTo({ times: 1 }))
        }
      })
      produce(double, 0, "bad")
      yield* pass(5_000)
      assert.deepStrictEqual(seen, ["bad"])
      yield* pass(10_000)
      assert.deepStrictEqual(seen, ["bad", "bad"])
      assert.deepStrictEqual(visible(double, "dead"), ["bad"])
    }))

  it.effect("holds up no other partition", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: {
          process: failsOn("bad"),
          deadLetterTopic: "dead",
          retry: Schedule.spaced("20 seconds").pipe(Schedule.upTo({ times: 3 }))
        }
      })
      produce(double, 0, "bad")
      yield* pass(1_000)
      produce(double, 1, "x")
      yield* pass(2_000)
      assert.deepStrictEqual(visible(double), ["1:0:x"])
    }))

  it.effect("without a dead-letter topic the pipeline fails with process' own error", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const forked = yield* PipelineRig.fork(double, { process: failsOn("bad") })
      produce(double, 0, "a", "bad")
      yield* pass(5_000)
      Rig.failsWith(PipelineRig.exitOf(forked), { _tag: "TooBad", message: "no" })
      assert.deepStrictEqual([visible(double), committed(double, 0)], [[], null])
    }))

  it.effect("a record that the broker rejects is poison, and found", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: {
          deadLetterTopic: "dead",
          process: ({ records }) =>
            Transaction.send(records.map(({ value }) => ({
              topic: "output",
              // Refused before anything is written.
              partition: value === "bad" ? -7 : 0,
              value
            })))
        }
      })
      produce(double, 0, "a", "bad", "c")
      yield* pass(5_000)
      assert.deepStrictEqual(visible(double), ["a", "c"])
      assert.deepStrictEqual(visible(double, "dead"), ["bad"])
    }))

  it.effect("what process makes of a failure of the cluster's is no poison", () =>
    Effect.gen(function*() {
      const { double } = yield* PipelineRig.make({
        capabilities,
        pipeline: {
          deadLetterTopic: "dead",
          retry: Schedule.recurs(0),
          process: (batch) => Effect.mapError(PipelineRig.copy(batch), () => "something failed")
        }
      })
      double.always("send", Fault.NotSent())
      produce(double, 0, "a")
      yield* pass(60_000)
      double.heal()
      yield* pass(60_000)
      assert.deepStrictEqual([visible(double), visible(double, "dead")], [["0:0:a"], []])
    }))

  it.effect("a record that does not decode is a dead letter, and its batch goes on", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      yield* PipelineRig.start(double, { deadLetterTopic: "dead" })
      double.broker.produce({ topic: "input", partition: 0 }, [
        ConsumerRig.encode("a"),
        { ...ConsumerRig.encode(""), value: new Uint8Array([0xc3, 0x28]) },
        ConsumerRig.encode("c")
      ])
      yield* pass(1_000)
      assert.deepStrictEqual(visible(double), ["0:0:a", "0:2:c"])
      assert.strictEqual(visible(double, "dead").length, 1)
      assert.strictEqual(committed(double, 0), 3n)
      assert.strictEqual(double.count("commit"), 1)
    }))

  it.effect("without a dead-letter topic a record that does not decode fails the pipeline", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble({ capabilities })
      const forked = yield* PipelineRig.fork(double)
      double.broker.produce({ topic: "input", partition: 0 }, [
        { ...ConsumerRig.encode(""), value: new Uint8Array([0xff]) }
      ])
      yield* pass(1_000)
      const { offset, part } = Rig.reason(PipelineRig.exitOf(forked), "UndecodableRecord")
      assert.deepStrictEqual([offset, part], [0n, "value"])
    }))
})

describe("bad input: typed, named, nothing committed", () => {
  const before = [
    ["no group id", { groupId: "" }, "Misconfigured", "groupId"],
    ["no input", { input: [] }, "Misconfigured", "topics"],
    [
      "an input that is also an output",
      { outputs: [{ name: "input" }] },
      "Misconfigured",
      "outputs"
    ],
    [
      "an input that is also the dead-letter topic",
      { deadLetterTopic: "input" },
      "Misconfigured",
      "deadLetterTopic"
    ],
    ["a batch of no records", { batch: { records: 0 } }, "Misconfigured", "batch.records"],
    [
      "a batch that takes longer to gather than a transaction may",
      { batch: { within: "7 seconds" } },
      "Misconfigured",
      "batch.within"
    ],
    [
      "a transaction that outlives the session",
      { producer: { transactionTimeout: "50 seconds" } },
      "Misconfigured",
      "sessionTimeout"
    ],
    [
      "a transactional id that is too long",
      { transactionalIdPrefix: "x".repeat(240) },
      "Misconfigured",
      "transactionalId"
    ]
  ] as const
  for (const [what, options, tag, setting] of before) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const double = yield* PipelineRig.makeDouble()
        const exit = yield* Effect.exit(PipelineRig.start(double, options))
        assert.strictEqual(Rig.reason(exit, tag).setting, setting)
        assert.deepStrictEqual(double.calls, [])
      }))
  }

  for (const [what, topic] of [["output", "outputs"], ["dead-letter topic", "dead"]] as const) {
    it.effect(`a ${what} that does not exist`, () =>
      Effect.gen(function*() {
        const double = yield* PipelineRig.makeDouble()
        const { exit } = yield* Rig.timed(Effect.scoped(PipelineRig.start(
          double,
          topic === "dead" ? { deadLetterTopic: "nowhere" } : { outputs: [{ name: "nowhere" }] }
        )))
        assert.strictEqual(Rig.reason(exit, "UnknownTopic").topic, "nowhere")
        assert.strictEqual(double.count("openConsumer"), 0)
      }))
  }

  for (const named of ["output", "dead"] as const) {
    it.effect(`${named}, a topic that it writes to, which it may not even describe`, () =>
      Effect.gen(function*() {
        const double = yield* PipelineRig.makeDouble()
        // The first to be asked about is the input.
        double.script("partitionCount", Fault.Answer({ code: 29 }), 2)
        const exit = yield* Effect.exit(Effect.scoped(PipelineRig.start(
          double,
          named === "dead" ? { deadLetterTopic: "dead" } : { outputs: [{ name: "output" }] }
        )))
        const { name, resource } = Rig.reason(exit, "NotAuthorized")
        assert.deepStrictEqual([resource, name], ["topic", named])
        assert.strictEqual(double.count("openConsumer"), 0)
      }))
  }

  it.effect("an undeclared output that is also an input", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble()
      const forked = yield* PipelineRig.fork(double, {
        deadLetterTopic: "dead",
        process: () => Transaction.send([{ topic: "input", value: "again" }])
      })
      produce(double, 0, "a")
      yield* pass(5_000)
      assert.strictEqual(Rig.reason(PipelineRig.exitOf(forked), "Misconfigured").setting, "input")
      assert.strictEqual(committed(double, 0), null)
    }))

  it.effect("an output without rights", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble()
      double.always("send", Fault.Answer({ code: 29 }))
      const forked = yield* PipelineRig.fork(double, { deadLetterTopic: "dead" })
      produce(double, 0, "a")
      yield* pass(5_000)
      assert.strictEqual(Rig.reason(PipelineRig.exitOf(forked), "NotAuthorized").name, "output")
      assert.deepStrictEqual([committed(double, 0), double.count("commit")], [null, 0])
    }))

  it.effect("a process that never ends", () =>
    Effect.gen(function*() {
      const double = yield* PipelineRig.makeDouble()
      let runs = 0
      const forked = yield* PipelineRig.fork(double, {
        deadLetterTopic: "dead",
        process: () => {
          runs += 1
          return Effect.never
        }
      })
      produce(double, 0, "a")
      yield* pass(60_000)
      const { limitMillis } = Rig.reason(PipelineRig.exitOf(forked), "TransactionTimedOut")
      assert.deepStrictEqual([limitMillis, runs], [7_000, 3])
      assert.strictEqual(committed(double, 0), null)
    }))
})
