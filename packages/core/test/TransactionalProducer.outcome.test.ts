import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { type Capabilities } from "@kafka-once/core/KafkaDriver"
import { CommitOutcomeUnknown, KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./support/DriverDouble.ts"
import { Fault } from "./support/DriverDouble.ts"
import * as Offsets from "./support/Offsets.ts"
import * as Rig from "./support/Rig.ts"

const schedule = Schedule.spaced("10 millis").pipe(Schedule.upTo({ times: 5 }))

const body = (transaction: Rig.Open) => transaction.send([Rig.record("a")])

const resolveLater = (double: DriverDouble.DriverDouble, error: KafkaError) =>
  Effect.provideService(Transaction.resolve(error), KafkaDriver, double.driver)

const withoutRepeat: Partial<Capabilities> = { commitRetry: false }

describe("an answer to a commit that is lost", () => {
  it.effect("is one committed copy for the bracket form with a schedule", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      const { exit } = yield* Rig.timed(
        Transaction.send([Rig.record("a")]).pipe(producer.withTransaction({ retry: schedule }))
      )
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(double.visible(), ["a"])
      assert.strictEqual(double.count("send"), 1)
    }))

  it.effect("is one committed copy for Transaction.retry around a scope", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, body).pipe(Transaction.retry(schedule))
      )
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(double.visible(), ["a"])
      assert.strictEqual(double.count("send"), 1)
    }))

  it.effect("is one committed copy for plain Effect.retry on timeouts around a scope", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      // The evidence cannot be read either, so that the failure reaches the retry.
      double.always("endMarker", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, body).pipe(
          Effect.retry({ schedule, while: (error) => error.reason._tag === "TimedOut" })
        )
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
      assert.deepStrictEqual(double.visible(), ["a"])
      assert.strictEqual(double.count("send"), 1)
    }))

  it.effect("is told with who acted in it, where that changes with every transaction", () =>
    Effect.gen(function*() {
      const double = yield* DriverDouble.make({ capabilities: withoutRepeat })
      let ended = 0
      const driver = KafkaDriver.of({
        ...double.driver,
        openSession: (options) =>
          Effect.map(double.driver.openSession(options), (session) => ({
            ...session,
            identity: () => ({ producerId: 77n, epoch: 10 + ended }),
            end: (end) => Effect.tap(session.end(end), () => Effect.sync(() => ended++))
          }))
      })
      const producer = yield* Rig.makeProducer({ ...double, driver })
      const pay = Transaction.send([Rig.record("a")]).pipe(producer.withTransaction())
      yield* pay
      double.script("commit", Fault.ActNoAnswer())
      double.always("endMarker", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(pay)
      const unknown = Rig.reason(exit, "CommitOutcomeUnknown")
      assert.deepInclude(unknown, { producerId: 77n, epoch: 11 })
    }))

  it.effect("is never run again while the outcome is unknown, whatever retryWhile says", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      double.always("endMarker", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(
        Transaction.send([Rig.record("a")]).pipe(
          producer.withTransaction({ retry: schedule, retryWhile: () => true })
        )
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
      assert.deepStrictEqual(double.visible(), ["a"])
    }))

  it.effect("is asked for by repeating the same commit, where the driver can", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("commit", Fault.ActNoAnswer())
      const { exit } = yield* Rig.timed(Rig.scopeForm(producer, body))
      assert(Exit.isSuccess(exit))
      assert.strictEqual(double.count("commit"), 2)
      assert.strictEqual(double.count("endMarker"), 0)
      // The session has left a request unanswered, so it is replaced.
      assert.strictEqual(double.count("initialize"), 2)
    }))
})

describe.each(Rig.forms)("a commit without an answer, %s", (_name, form) => {
  it.effect("is committed where the log says so", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      let open: Rig.Open | undefined
      const { exit, millis } = yield* Rig.timed(form(producer, (transaction) => {
        open = transaction
        return body(transaction)
      }))
      assert(Exit.isSuccess(exit))
      const outcome = yield* open!.outcome
      assert(outcome._tag === "Committed" && outcome.proof === "end marker")
      assert.isBelow(millis, 1_000)
      assert.deepStrictEqual(
        events.map(({ _tag }) => _tag),
        ["SessionRetired", "SessionOpened", "TransactionSettled"]
      )
    }))

  it.effect("is a definite abort where the log says so, and may be run again", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(form(producer, body))
      Rig.reason(exit, "CommitRefused")
      assert.strictEqual(Rig.kafkaError(exit).recovery, "retry")
      assert.deepStrictEqual(double.visible(), [])
      const again = yield* Rig.timed(form(producer, body).pipe(Transaction.retry(schedule)))
      assert(Exit.isSuccess(again.exit))
      assert.deepStrictEqual(double.visible(), ["a"])
    }))

  it.effect("that arrives after the fence changes nothing", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.Late())
      const { exit } = yield* Rig.timed(form(producer, body))
      Rig.reason(exit, "CommitRefused")
      yield* form(producer, (transaction) =>
        Effect.andThen(transaction.send([Rig.record("next")]), double.releaseLate))
      assert.deepStrictEqual(double.visible(), ["next"])
    }))

  it.effect("stays unknown while no leader can be asked, and is told later", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      double.always("endMarker", Fault.Hang())
      let open: Rig.Open | undefined
      const { exit, millis } = yield* Rig.timed(form(producer, (transaction) => {
        open = transaction
        return body(transaction)
      }))
      const unknown = Rig.reason(exit, "CommitOutcomeUnknown")
      assert.lengthOf(unknown.acknowledged, 1)
      assert.isAtMost(millis, 25_000)
      assert.strictEqual((yield* open!.outcome)._tag, "Unknown")
      double.heal()
      const told = yield* resolveLater(double, Rig.kafkaError(exit))
      assert.strictEqual(told._tag, "Committed")
      // The marker was there, so nobody was fenced to find it.
      assert.strictEqual(double.count("initialize"), 2)
      yield* form(producer, (transaction) => transaction.send([Rig.record("next")]))
      assert.deepStrictEqual(double.visible(), ["a", "next"])
    }))

  it.effect("stays unknown where retention has deleted the evidence", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      const { exit } = yield* Rig.timed(form(producer, (transaction) =>
        Effect.tap(body(transaction), () =>
          Effect.sync(double.broker.trim))))
      Rig.reason(exit, "CommitOutcomeUnknown")
      const initialized = double.count("initialize")
      const told = yield* Rig.timed(resolveLater(double, Rig.kafkaError(exit)))
      assert(Exit.isSuccess(told.exit))
      assert.strictEqual(told.exit.value._tag, "Unknown")
      // A fence would bring nothing back, and end the producer that lives.
      assert.strictEqual(double.count("initialize"), initialized)
      yield* form(producer, (transaction) =>
        transaction.send([Rig.record("next")]))
      assert.include(double.visible(), "next")
    }))

  it.effect("is told by another partition where one leader does not answer", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      double.script("endMarker", Fault.Hang())
      const { exit, millis } = yield* Rig.timed(
        form(producer, (transaction) => transaction.send([Rig.record("a"), Rig.record("b", 1)]))
      )
      assert(Exit.isSuccess(exit))
      assert.isBelow(millis, 3_000)
    }))

  it.effect("stays unknown while no session can be opened, and says what is left open", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.NoAnswer())
      double.always("openSession", Fault.NotSent())
      double.always("probe", Fault.NotSent())
      const { exit, millis } = yield* Rig.timed(form(producer, body), 24_000)
      Rig.reason(exit, "CommitOutcomeUnknown")
      assert.isAtMost(millis, 25_000)
      assert(events.some(({ _tag }) => _tag === "TransactionLeftOpen"))
      double.heal()
      yield* TestClock.adjust("10 seconds")
      const told = yield* Rig.timed(resolveLater(double, Rig.kafkaError(exit)))
      assert(Exit.isSuccess(told.exit))
      assert.strictEqual(told.exit.value._tag, "Aborted")
    }))
})

describe("a commit without an answer", () => {
  it.effect("is refused, not unknown, where its coordinator was never found", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.NoCoordinator())
      const { exit } = yield* Rig.timed(Rig.scopeForm(producer, body))
      // Not from the log: EndTxn was never sent, whatever can be read now.
      assert.include(Rig.reason(exit, "CommitRefused").last, "FindCoordinator")
      assert.strictEqual(double.count("endMarker"), 0)
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("whose repetition another instance has fenced does not fence that instance", () =>
    Effect.gen(function*() {
      const { double, producer, events } = yield* Rig.make()
      double.script("commit", Fault.ActNoAnswer())
      double.script("commit", Fault.Answer({ code: 90 }))
      const { exit } = yield* Rig.timed(Rig.scopeForm(producer, body))
      assert(Exit.isSuccess(exit))
      assert.strictEqual(double.count("initialize"), 1)
      assert.strictEqual((yield* producer.status).state, "Dead")
      assert(events.some(({ _tag }) => _tag === "Fenced"))
      Rig.reason(yield* Effect.exit(Rig.scopeForm(producer, body)), "ProducerFenced")
    }))

  it.effect("and with offsets alone is told by their token", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      let open: Rig.Open | undefined
      const committed = yield* Rig.timed(Rig.scopeForm(producer, (transaction) => {
        open = transaction
        return transaction.sendOffsets(Offsets.make(41n))
      }))
      assert(Exit.isSuccess(committed.exit))
      const outcome = yield* open!.outcome
      assert(outcome._tag === "Committed" && outcome.proof === "committed offset")
      double.script("commit", Fault.NoAnswer())
      const aborted = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(50n)))
      )
      Rig.reason(aborted.exit, "CommitRefused")
    }))

  it.effect("and with offsets is not taken for another one of the same moment", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: { commitRetry: false } })
      yield* Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(50n)))
      double.script("commit", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(50n)))
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
    }))

  it.effect("and with offsets that are not read stable is not called aborted", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({
        capabilities: { commitRetry: false, stableOffsets: false }
      })
      double.script("commit", Fault.NoAnswer())
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(41n)))
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
    }))

  it.effect("and with offsets alone is not called aborted later, when the group moved back", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.ActNoAnswer())
      double.always("committedOffsets", Fault.Hang())
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(50n)))
      )
      Rig.reason(exit, "CommitOutcomeUnknown")
      double.heal()
      const error = Rig.kafkaError(exit)
      assert.strictEqual((yield* resolveLater(double, error))._tag, "Committed")
      yield* Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(10n)))
      const later = yield* Rig.timed(resolveLater(double, error))
      assert(Exit.isSuccess(later.exit))
      assert.strictEqual(later.exit.value._tag, "Unknown")
    }))

  it.effect("and with offsets alone is fenced later before anything is said of it", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      double.script("commit", Fault.NoAnswer())
      double.always("committedOffsets", Fault.Hang())
      const { exit } = yield* Rig.timed(
        Rig.scopeForm(producer, (transaction) => transaction.sendOffsets(Offsets.make(50n)))
      )
      double.heal()
      const before = double.count("initialize")
      const later = yield* Rig.timed(resolveLater(double, Rig.kafkaError(exit)))
      assert(Exit.isSuccess(later.exit))
      assert.strictEqual(later.exit.value._tag, "Unknown")
      assert.strictEqual(double.count("initialize"), before + 1)
    }))

  it.effect("of which nothing was acknowledged is aborted, once it is fenced", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make({ capabilities: withoutRepeat })
      yield* Rig.scopeForm(producer, body)
      const before = double.count("initialize")
      const reason = new CommitOutcomeUnknown({
        transactionalId: "orders-0",
        producerId: 1n,
        epoch: 0,
        acknowledged: [],
        offsets: []
      })
      const told = yield* resolveLater(double, new KafkaError({ operation: "commit", reason }))
      assert.strictEqual(told._tag, "Aborted")
      assert.strictEqual(double.count("initialize"), before + 1)
    }))

  it.effect("a committed transaction in a failed run forbids to run it again", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      const { exit } = yield* Rig.timed(
        Effect.andThen(Rig.scopeForm(producer, body), Effect.fail("later")).pipe(
          Transaction.retry(schedule, { retryWhile: () => true })
        )
      )
      Rig.failsWith(exit, "later")
      assert.deepStrictEqual(double.visible(), ["a"])
    }))
})

describe("running a transaction again", () => {
  it.effect("happens after a timeout, once it is definitely aborted", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.always("send", Fault.Answer({ code: 7 }))
      const { exit } = yield* Rig.timed(
        Transaction.send([Rig.record("a")]).pipe(
          Effect.tapError(() => Effect.sync(double.heal)),
          producer.withTransaction({ retry: schedule })
        )
      )
      assert(Exit.isSuccess(exit))
      assert.deepStrictEqual(double.visible(), ["a"])
      assert.strictEqual(double.count("abort"), 1)
    }))

  it.effect("does not happen for the body's own failure, unless retryWhile says so", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      let runs = 0
      const own = Effect.suspend(() => Effect.fail(`run ${++runs}`))
      const once = yield* Rig.timed(own.pipe(producer.withTransaction({ retry: schedule })))
      Rig.failsWith(once.exit, "run 1")
      const again = yield* Rig.timed(
        Effect.andThen(Transaction.send([Rig.record("a")]), own).pipe(
          producer.withTransaction({ retry: schedule, retryWhile: (error) => error === "run 2" })
        )
      )
      Rig.failsWith(again.exit, "run 3")
      assert.deepStrictEqual(double.visible(), [])
    }))

  it.effect("does not happen for a fatal failure", () =>
    Effect.gen(function*() {
      const { double, producer } = yield* Rig.make()
      double.script("send", Fault.Answer({ code: 29 }))
      const { exit } = yield* Rig.timed(
        Transaction.send([Rig.record("a")]).pipe(producer.withTransaction({ retry: schedule }))
      )
      Rig.reason(exit, "NotAuthorized")
      assert.strictEqual(double.count("send"), 1)
    }))

  it.effect("does not happen for a defect or an interruption", () =>
    Effect.gen(function*() {
      const { producer } = yield* Rig.make()
      let runs = 0
      const died = yield* Effect.exit(
        Effect.suspend(() => Effect.die(++runs)).pipe(producer.withTransaction({ retry: schedule }))
      )
      const interrupted = yield* Effect.exit(
        Effect.suspend(() => {
          runs += 1
          return Effect.interrupt
        }).pipe(producer.withTransaction({ retry: schedule }))
      )
      assert(Exit.isFailure(died) && Exit.isFailure(interrupted))
      assert.strictEqual(runs, 2)
    }))
})
