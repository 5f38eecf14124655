import { assert, describe, it } from "@effect/vitest"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as ConsumerRig from "./support/ConsumerRig.ts"
import { type Call, type DriverDouble, Fault, text } from "./support/DriverDouble.ts"
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

  it.effect("rule 11: after an abort exactly its partitions are read from the committed offset", () =>
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
    it.effect(`rule 13: a commit of which nothing is known (${fault._tag}) is read, not guessed`, () =>
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
