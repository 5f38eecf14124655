import { assert, describe, it } from "@effect/vitest"
import type { GroupOffsets } from "@kafka-once/core/GroupOffsets"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { type Call, Fault } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

const forkNow = { startImmediately: true } as const

const offsets = (groupId: string, lastProcessed: bigint, partition = 0) =>
  Offsets.make(lastProcessed, { groupId, partition })

const sendOne = (transaction: Rig.Open) => transaction.send([Rig.record("a")])

/** The epoch under which each call of an operation was made. */
const epochs = (calls: ReadonlyArray<Call>, operation: Call["operation"]) =>
  calls.flatMap((call) => call.operation === operation ? [call.identity?.epoch] : [])

// What a program in plain JavaScript, or one that casts, could put together.
const forgeries: ReadonlyArray<readonly [what: string, of: (given: GroupOffsets) => GroupOffsets]> =
  [
    ["a copy of a consumer's offsets", (given) => structuredClone(given)],
    [
      "a consumer's offsets with a position of one's own",
      (given) =>
        Object.assign(Object.create(given), {
          offsets: [{ topic: "input", partition: 0, lastProcessed: 99n }]
        })
    ],
    ["nothing at all", () => null as never]
  ]

it("I4: what is put together by hand does not have the type of a consumer's offsets", () => {
  type ByHand = Pick<GroupOffsets, "groupId" | "membership" | "offsets">
  const literal: ByHand extends GroupOffsets ? "accepted" : "refused" = "refused"
  const spread = (given: GroupOffsets) => ({ ...given, groupId: "another" })
  const changed: ReturnType<typeof spread> extends GroupOffsets ? "accepted" : "refused" = "refused"
  assert.deepStrictEqual([literal, changed], ["refused", "refused"])
})

describe.each(Rig.forms)("invariants, %s", (_name, form) => {
  for (
    const [operation, fault] of [
      ["send", Fault.NoAnswer()],
      ["send", Fault.ActNoAnswer()],
      ["commit", Fault.ActNoAnswer()],
      ["sendOffsets", Fault.ActNoAnswer()]
    ] as const
  ) {
    it.effect(`I1: a session whose ${operation} had no answer is replaced (${fault._tag})`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.script(operation, fault)
        const { exit } = yield* Rig.timed(
          form(
            producer,
            (transaction) =>
              Effect.andThen(sendOne(transaction), transaction.sendOffsets(offsets("g", 1n)))
          )
        )
        assert(Exit.isSuccess(exit))
        yield* form(producer, (transaction) => transaction.send([Rig.record("b")]))
        assert.strictEqual(epochs(double.calls, "send").at(-1), 1)
        assert.deepStrictEqual(double.visible(), ["a", "b"])
      }))
  }

  it.effect("I1: a refusal is an answer, and the session is used again", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 51 }))
      double.script("commit", Fault.Answer({ code: 51 }))
      const { exit } = yield* Rig.timed(form(producer, sendOne))
      assert(Exit.isSuccess(exit))
      yield* form(producer, sendOne)
      assert.strictEqual(double.count("initialize"), 1)
    }))

  for (
    const [what, fault] of [
      ["failed", Fault.Answer({ code: 10 })],
      ["died", Fault.Die()],
      ["was refused by the client", Fault.Refused()]
    ] as const
  ) {
    it.effect(`I2: no commit where a send ${what}, though the body caught it`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.script("send", fault)
        const exit = yield* Effect.exit(form(producer, (transaction) =>
          Effect.andThen(
            Effect.exit(sendOne(transaction)),
            Effect.exit(transaction.send([Rig.record("b")]))
          )))
        Rig.reason(exit, "TransactionTainted")
        assert.strictEqual(double.count("commit"), 0)
        assert.deepStrictEqual(double.visible(), [])
      }))
  }

  for (const fault of [Fault.Answer({ code: 30 }), Fault.Answer({ code: 22 }), Fault.Die()]) {
    it.effect(`I2: no commit where an offset commit failed: ${fault._tag}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.script("sendOffsets", fault)
        const exit = yield* Effect.exit(
          form(
            producer,
            (transaction) =>
              Effect.andThen(sendOne(transaction), transaction.sendOffsets(offsets("g", 1n)))
          )
        )
        Rig.reason(exit, "TransactionTainted")
        assert.strictEqual(double.count("commit"), 0)
        assert.deepStrictEqual(double.visible(), [])
      }))
  }

  it.effect("I3: what arrives late after the end is fenced, and nothing more is sent", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.always("send", Fault.Late())
      const { exit } = yield* Rig.timed(form(producer, sendOne))
      Rig.kafkaError(exit)
      double.heal()
      yield* form(
        producer,
        (transaction) => Effect.andThen(transaction.send([Rig.record("next")]), double.releaseLate)
      )
      yield* double.releaseLate
      assert.deepStrictEqual(double.visible(), ["next"])
      assert.deepStrictEqual(double.written(), ["next"])
      const first = double.calls.findIndex(({ operation }) => operation === "initialize")
      const second = double.calls.findLastIndex(({ operation }) => operation === "initialize")
      assert(double.calls.slice(second + 1).every(({ identity }) => identity?.epoch !== 0))
      assert.isAbove(second, first)
    }))

  it.effect("I4: offsets are merged per group, one more than the last processed, and go once", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      yield* form(producer, (transaction) =>
        transaction.sendOffsets(offsets("g", 5n)).pipe(
          Effect.andThen(transaction.sendOffsets(offsets("g", 9n))),
          Effect.andThen(transaction.sendOffsets(offsets("g", 7n))),
          Effect.andThen(transaction.sendOffsets(offsets("g", 1n, 1))),
          Effect.andThen(transaction.sendOffsets(offsets("other", 2n))),
          Effect.andThen(sendOne(transaction))
        ))
      assert.strictEqual(double.count("sendOffsets"), 2)
      assert.deepStrictEqual(double.operations().slice(-4), [
        "send",
        "sendOffsets",
        "sendOffsets",
        "commit"
      ])
      const at = (groupId: string, partition: number) =>
        double.broker.committedOffset(groupId, { topic: "input", partition }).offset
      assert.deepStrictEqual([at("g", 0), at("g", 1), at("other", 0)], [10n, 2n, 3n])
    }))

  it.effect("I4: offsets alone that are refused for a moment are in one begun transaction", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      // CONCURRENT_TRANSACTIONS: the markers of the last transaction are being written.
      double.script("sendOffsets", Fault.Answer({ code: 51 }))
      const { exit } = yield* Rig.timed(
        form(producer, (transaction) => transaction.sendOffsets(offsets("g", 5n)))
      )
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(double.operations().slice(-4), [
        "begin",
        "sendOffsets",
        "sendOffsets",
        "commit"
      ])
    }))

  it.effect("I4: a driver that cannot fence by group gets no offsets", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: { groupFencing: false } })
      const exit = yield* Effect.exit(
        form(producer, (transaction) => Effect.ignore(transaction.sendOffsets(offsets("g", 1n))))
      )
      Rig.reason(exit, "TransactionTainted")
      assert.strictEqual(double.count("sendOffsets"), 0)
    }))

  for (const [what, forge] of forgeries) {
    it.effect(`I4: ${what} is refused: only what a consumer gave is fenced by the group`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        const exit = yield* Effect.exit(form(producer, (transaction) =>
          Effect.andThen(
            sendOne(transaction),
            transaction.sendOffsets(forge(offsets("g", 1n)))
          )))
        assert.strictEqual(Rig.reason(exit, "Misconfigured").setting, "offsets")
        assert.strictEqual(double.count("sendOffsets"), 0)
        assert.strictEqual(double.count("commit"), 0)
        assert.deepStrictEqual(double.visible(), [])
      }))
  }

  for (const code of [-1, 42, 48, 49, 59, 77, 89, 120]) {
    it.effect(`I7: a commit answered with ${code} is never called aborted without evidence`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.always("commit", Fault.Answer({ code }))
        double.always("endMarker", Fault.NoAnswer())
        const { exit } = yield* Rig.timed(form(producer, sendOne))
        Rig.reason(exit, "CommitOutcomeUnknown")
      }))
  }

  for (
    const fault of [
      Fault.NoAnswer(),
      Fault.NotSent(),
      Fault.NotKafka(),
      Fault.Refused(),
      Fault.Answer({ code: -1 }),
      Fault.Answer({ code: 14 }),
      Fault.Answer({ code: 15 }),
      Fault.Answer({ code: 29 }),
      Fault.Answer({ code: 48 }),
      Fault.Answer({ code: 90 })
    ]
  ) {
    it.effect(`I8: a failed commit is never followed by an abort: ${JSON.stringify(fault)}`, () =>
      Effect.gen(function*() {
        const { double, producer } = yield* Rig.make()
        double.always("commit", fault)
        const { exit, millis } = yield* Rig.timed(form(producer, sendOne))
        Rig.kafkaError(exit)
        assert.isAtMost(millis, 25_000)
        assert.strictEqual(double.count("abort"), 0)
        const at = double.operations().indexOf("commit")
        const after = double.calls.slice(at).filter(({ session }) =>
          session === double.calls[at]!.session
        )
        assert(after.every(({ operation }) => operation === "commit" || operation === "close"))
      }))
  }

  it.effect("I9: the body runs again only after a definite abort", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: { commitRetry: false } })
      // Lost once: proven aborted, run again. Lost twice, and without evidence: not again.
      double.script("commit", Fault.NoAnswer())
      double.script("commit", Fault.ActNoAnswer(), 1)
      let runs = 0
      const { exit } = yield* Rig.timed(
        form(producer, (transaction) => {
          runs += 1
          if (runs === 2) double.always("endMarker", Fault.NoAnswer())
          return sendOne(transaction)
        }).pipe(Transaction.retry(Schedule.spaced("10 millis")))
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
      assert.strictEqual(runs, 2)
      assert.deepStrictEqual(double.visible(), ["a"])
    }))

  it.effect("I10: an interruption while the offsets are on their way aborts", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const latch = yield* Deferred.make<void>()
      double.script("sendOffsets", Fault.Gate({ latch }))
      const reached = yield* Effect.forkChild(double.next("sendOffsets"), forkNow)
      const fiber = yield* Effect.forkChild(
        form(
          producer,
          (transaction) =>
            Effect.andThen(sendOne(transaction), transaction.sendOffsets(offsets("g", 1n)))
        )
      )
      yield* Fiber.join(reached)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), forkNow)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(interrupting)
      assert.strictEqual(double.count("commit"), 0)
      assert.strictEqual(double.count("abort"), 1)
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("I11: at most one Produce has no answer, and what waits goes with the next", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const latch = yield* Deferred.make<void>()
      double.script("send", Fault.Gate({ latch }))
      const reached = yield* Effect.forkChild(double.next("send"), forkNow)
      const fiber = yield* Effect.forkChild(
        form(producer, (transaction) =>
          Effect.gen(function*() {
            const first = yield* Effect.forkChild(sendOne(transaction), forkNow)
            yield* Fiber.join(reached)
            const more = yield* Effect.forkChild(
              Effect.all([
                transaction.send([Rig.record("b")]),
                transaction.send([Rig.record("c")])
              ], { concurrency: 2 }),
              forkNow
            )
            for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
            assert.strictEqual(double.count("send"), 1)
            yield* Deferred.succeed(latch, undefined)
            yield* Fiber.join(first)
            yield* Fiber.join(more)
          }))
      )
      yield* Fiber.join(fiber)
      assert.strictEqual(double.count("send"), 2)
      assert.deepStrictEqual(double.visible(), ["a", "b", "c"])
    }))

  it.effect("I11: nothing of a session is asked before its begin is answered", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const latch = yield* Deferred.make<void>()
      double.script("begin", Fault.Gate({ latch }))
      const reached = yield* Effect.forkChild(double.next("begin"), forkNow)
      const fiber = yield* Effect.forkChild(
        form(
          producer,
          (transaction) =>
            Effect.all([sendOne(transaction), transaction.send([Rig.record("b", 1)])], {
              concurrency: 2
            })
        )
      )
      yield* Fiber.join(reached)
      for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
      assert.strictEqual(double.operations().at(-1), "begin")
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(double.count("begin"), 1)
      assert.sameMembers([...double.visible()], ["a", "b"])
    }))
})

describe("invariants", () => {
  it.effect("I6: first contact with an id is an initialisation that ends what was left open", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make()
      const before = double.broker.identityOf("orders-0")!
      const successor = yield* Rig.makeProducer(double)
      assert.deepStrictEqual(double.broker.identityOf("orders-0"), {
        producerId: before.producerId,
        epoch: before.epoch + 1
      })
      assert.deepStrictEqual(double.operations().slice(-2), ["openSession", "initialize"])
      yield* Rig.scopeForm(successor, sendOne)
      assert.deepStrictEqual(double.visible(), ["a"])
    }))
})
