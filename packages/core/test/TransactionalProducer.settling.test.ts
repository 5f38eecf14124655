import { assert, describe, it } from "@effect/vitest"
import { KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { Fault } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

describe.each(Rig.forms)("TransactionalProducer, %s", (_name, form) => {
  it.effect("a body's own failure aborts and leaves unchanged", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const own = { _tag: "Own" } as const
      const exit = yield* Effect.exit(form(producer, (transaction) =>
        Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail(own))))
      Rig.failsWith(exit, own)
      assert.deepStrictEqual(double.visible(), [])
      assert.deepStrictEqual(double.operations().slice(2), [
        "partitionCount",
        "begin",
        "send",
        "abort"
      ])
    }))

  it.effect("a body's own failure leaves unchanged also when the abort fails", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      double.always("abort", Fault.Answer({ code: -1 }))
      const { exit, millis } = yield* Rig.timed(
        form(
          producer,
          (transaction) => Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own"))
        )
      )
      Rig.failsWith(exit, "own")
      assert.isAtMost(millis, 25_000)
      assert(events.some(({ _tag }) => _tag === "AbortFailed"))
      assert.isFalse(double.broker.hasOpenTransaction())
    }))

  it.effect("a defect of the body aborts and stays the same defect", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const defect = new Error("own defect")
      const exit = yield* Effect.exit(form(producer, (transaction) =>
        Effect.andThen(transaction.send([Rig.record("a")]), Effect.die(defect))))
      assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.strictEqual(Cause.squash(exit.cause), defect)
      assert.strictEqual(double.count("abort"), 1)
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("a failed send that the body catches makes the commit a typed failure", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 10 }))
      const exit = yield* Effect.exit(
        form(producer, (transaction) => Effect.ignore(transaction.send([Rig.record("a")])))
      )
      const { first, retryable } = Rig.reason(exit, "TransactionTainted")
      assert.include(first, "MESSAGE_TOO_LARGE")
      assert.isFalse(retryable)
      assert.deepStrictEqual(double.operations().slice(-2), ["send", "abort"])
    }))

  it.effect("a retryable failure of a send leaves unchanged once the abort is done", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.always("send", Fault.Answer({ code: 7 }))
      const { exit } = yield* Rig.timed(
        form(producer, (transaction) => transaction.send([Rig.record("a")]))
      )
      assert.strictEqual(Rig.reason(exit, "TimedOut").request, "Produce")
      assert.strictEqual(Rig.kafkaError(exit).recovery, "retry")
      assert.strictEqual(double.operations().at(-1), "abort")
    }))

  it.effect("a fatal failure of a send aborts and propagates", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 29 }))
      const exit = yield* Effect.exit(
        form(producer, (transaction) => transaction.send([Rig.record("a")]))
      )
      assert.strictEqual(Rig.reason(exit, "NotAuthorized").name, "orders")
      assert.strictEqual(double.operations().at(-1), "abort")
    }))

  it.effect("on a fenced session nothing more is sent, and the failure says so", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 47 }))
      const exit = yield* Effect.exit(
        form(producer, (transaction) => Effect.ignore(transaction.send([Rig.record("a")])))
      )
      Rig.reason(exit, "ProducerFenced")
      assert.deepStrictEqual(double.operations().slice(-2), ["send", "close"])
      assert(events.some(({ _tag }) => _tag === "Fenced"))
    }))

  it.effect("a success commits, with the metadata of its records", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const sent = yield* form(producer, (transaction) =>
        transaction.send([Rig.record("a"), Rig.record("b", 1), Rig.record("c")]))
      assert.deepStrictEqual(
        sent.map(({ partition, offset }) => [partition, offset]),
        [[0, 0n], [1, 0n], [0, 1n]]
      )
      assert.deepStrictEqual(double.visible(), ["a", "c", "b"])
    }))

  it.effect("a failure that commitWhen chooses commits, and stays the failure", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const exits: Array<Exit.Exit<unknown, unknown>> = []
      const exit = yield* Effect.exit(form(
        producer,
        (transaction) => Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("chosen")),
        {
          commitWhen: (exit) => {
            exits.push(exit)
            return Exit.isFailure(exit)
          }
        }
      ))
      Rig.failsWith(exit, "chosen")
      assert.lengthOf(exits, 1)
      Rig.failsWith(exits[0]!, "chosen")
      assert.deepStrictEqual(double.visible(), ["a"])
    }))

  it.effect("commitWhen cannot commit a transaction in which a send has failed", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 10 }))
      const exit = yield* Effect.exit(form(
        producer,
        (transaction) => transaction.send([Rig.record("a")]),
        { commitWhen: () => true }
      ))
      Rig.reason(exit, "RecordRejected")
      assert.strictEqual(double.count("commit"), 0)
    }))

  it.effect("a commitWhen that throws aborts, and its defect leaves", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const defect = new Error("thrown by commitWhen")
      const exit = yield* Effect.exit(form(
        producer,
        (transaction) => transaction.send([Rig.record("a")]),
        {
          commitWhen: () => {
            throw defect
          }
        }
      ))
      assert(Exit.isFailure(exit))
      assert.strictEqual(Cause.squash(exit.cause), defect)
      assert.strictEqual(double.operations().at(-1), "abort")
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("a commitWhen that throws does not hide the body's own failure", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const exit = yield* Effect.exit(form(
        producer,
        (transaction) => Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("own")),
        {
          commitWhen: () => {
            throw new Error("thrown by commitWhen")
          }
        }
      ))
      Rig.failsWith(exit, "own")
    }))

  it.effect("an interrupted body aborts before the program goes on", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      const sent = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(form(producer, (transaction) =>
        transaction.send([Rig.record("a")]).pipe(
          Effect.andThen(Deferred.succeed(sent, undefined)),
          Effect.andThen(Effect.never)
        )))
      yield* Deferred.await(sent)
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(double.operations().at(-1), "abort")
      assert.deepStrictEqual(double.visible(), [])
      yield* Effect.yieldNow
      assert(events.some((event) =>
        event._tag === "TransactionSettled" && event.outcome._tag === "Aborted"
      ))
    }))

  it.effect("an interruption while sends settle after the body aborts", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const latch = yield* Deferred.make<void>()
      double.script("send", Fault.Gate({ latch }))
      const reached = yield* Effect.forkChild(double.next("send"), { startImmediately: true })
      const fiber = yield* Effect.forkChild(
        form(
          producer,
          (transaction) =>
            Effect.forkDetach(transaction.send([Rig.record("a")]), { startImmediately: true })
        )
      )
      yield* Fiber.join(reached)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), {
        startImmediately: true
      })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(interrupting)
      const exit = yield* Fiber.await(fiber)
      assert(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause))
      assert.strictEqual(double.count("commit"), 0)
      assert.strictEqual(double.count("abort"), 1)
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("an interruption after the commit point lets the commit finish, and tells it", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      const latch = yield* Deferred.make<void>()
      double.script("commit", Fault.Gate({ latch }))
      const reached = yield* Effect.forkChild(double.next("commit"), { startImmediately: true })
      let open: Rig.Open | undefined
      const fiber = yield* Effect.forkChild(form(producer, (transaction) => {
        open = transaction
        return transaction.send([Rig.record("a")])
      }))
      yield* Fiber.join(reached)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), {
        startImmediately: true
      })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(interrupting)
      const exit = yield* Fiber.await(fiber)
      assert(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause))
      assert.deepStrictEqual(double.visible(), ["a"])
      const outcome = yield* open!.outcome
      assert(outcome._tag === "Committed")
      assert.strictEqual(outcome.proof, "answer")
      yield* Effect.yieldNow
      assert(
        events.some((event) =>
          event._tag === "TransactionSettled" && event.outcome._tag === "Committed"
        )
      )
    }))

  it.effect("the user's own timeout aborts, and waits for the abort", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const { exit, millis } = yield* Rig.timed(
        form(producer, (transaction) =>
          Effect.andThen(transaction.send([Rig.record("a")]), Effect.never)).pipe(
            Effect.timeout("2 seconds")
          )
      )
      assert(Exit.isFailure(exit))
      assert.strictEqual((Cause.squash(exit.cause) as { _tag: string })._tag, "TimeoutError")
      assert.strictEqual(millis, 2_000)
      assert.strictEqual(double.operations().at(-1), "abort")
    }))

  it.effect("the user's own timeout inside the body is the body's own failure", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const { exit } = yield* Rig.timed(form(producer, (transaction) =>
        Effect.andThen(
          transaction.send([Rig.record("a")]),
          Effect.timeout(Effect.never, "1 second")
        )))
      assert(Exit.isFailure(exit))
      assert.strictEqual((Cause.squash(exit.cause) as { _tag: string })._tag, "TimeoutError")
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("a body that takes too long ends with TransactionTimedOut, and aborts", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const { exit } = yield* Rig.timed(
        form(producer, (transaction) =>
          transaction.send([Rig.record("a")]).pipe(
            Effect.andThen(Effect.sleep("7 seconds")),
            Effect.andThen(transaction.send([Rig.record("b")]))
          ))
      )
      assert.strictEqual(Rig.reason(exit, "TransactionTimedOut").limitMillis, 7_000)
      assert.deepStrictEqual(double.written(), ["a"])
      assert.strictEqual(double.operations().at(-1), "abort")
    }))

  it.effect("a failed commit is a typed failure outside, and never a defect", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("commit", Fault.Answer({ code: 29 }))
      const exit = yield* Effect.exit(
        form(producer, (transaction) => transaction.send([Rig.record("a")]))
      )
      Rig.reason(exit, "NotAuthorized")
      assert.strictEqual(Rig.kafkaError(exit).operation, "commit")
      double.script("commit", Fault.Answer({ code: 29 }))
      const caught = yield* form(producer, (transaction) => transaction.send([Rig.record("b")]))
        .pipe(
          Effect.as("committed"),
          Effect.catchReason(
            "KafkaError",
            "NotAuthorized",
            ({ request }) => Effect.succeed(request)
          )
        )
      assert.strictEqual(caught, "EndTxn")
      double.script("commit", Fault.Answer({ code: 53 }))
      const tagged = yield* form(producer, (transaction) => transaction.send([Rig.record("c")]))
        .pipe(
          Effect.as("committed"),
          Effect.catchTag("KafkaError", (error) => Effect.succeed(error.recovery))
        )
      assert.strictEqual(tagged, "reconfigure")
      assert.deepStrictEqual(double.visible(), [])
      assert.strictEqual(double.count("abort"), 0)
    }))

  it.effect("an empty transaction sends nothing, whatever its exit", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const before = double.calls.length
      assert.strictEqual(yield* form(producer, () => Effect.succeed(1)), 1)
      Rig.failsWith(yield* Effect.exit(form(producer, () => Effect.fail("own"))), "own")
      yield* form(producer, (transaction) => transaction.send([]))
      assert.strictEqual(double.calls.length, before)
      const outcome = yield* form(producer, (open) => Effect.succeed(open)).pipe(
        Effect.flatMap((open) => open.outcome)
      )
      assert.deepStrictEqual({ ...outcome }, { _tag: "Committed", proof: "nothing sent" } as never)
    }))

  it.effect("a transaction used after its end fails typed, and sends nothing", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const open = yield* form(
        producer,
        (transaction) => Effect.as(transaction.send([Rig.record("a")]), transaction)
      )
      const before = double.calls.length
      Rig.reason(yield* Effect.exit(open.send([Rig.record("b")])), "TransactionEnded")
      Rig.reason(
        yield* Effect.exit(open.sendOffsets(Offsets.make(1n))),
        "TransactionEnded"
      )
      assert.strictEqual(double.calls.length, before)
      yield* form(producer, (transaction) => transaction.send([Rig.record("c")]))
      assert.deepStrictEqual(double.visible(), ["a", "c"])
    }))
})

describe("TransactionalProducer", () => {
  it.effect("a body of the bracket form is interrupted when it takes too long", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      const { exit, millis } = yield* Rig.timed(
        Rig.bracketForm(
          producer,
          (transaction) =>
            Effect.andThen(transaction.send([Rig.record("a")]), Effect.sleep("1 minute"))
        )
      )
      Rig.reason(exit, "TransactionTimedOut")
      assert.strictEqual(millis, 7_000)
    }))

  it.effect("Effect.scoped fails at run time with the typed error of a failed commit", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("commit", Fault.Answer({ code: 53 }))
      const exit = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        const transaction = yield* producer.begin()
        yield* transaction.send([Rig.record("a")])
      })))
      assert(Exit.isFailure(exit))
      assert.lengthOf(exit.cause.reasons, 1)
      assert(Cause.isFailReason(exit.cause.reasons[0]!))
      assert.instanceOf(exit.cause.reasons[0].error, KafkaError)
    }))

  it.effect("deep code sends in the current transaction", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const deep = Transaction.send([Rig.record("deep")])
      yield* deep.pipe(producer.withTransaction())
      assert.deepStrictEqual(double.visible(), ["deep"])
      yield* TestClock.adjust("1 minute")
    }))
})
