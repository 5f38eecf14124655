/** How a session is replaced where the driver can ask who has the transactional id. */
import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Fault } from "./support/DriverDouble.ts"
import * as Rig from "./support/Rig.ts"

const epochBump = { epochBump: true, commitRetry: false }
const takenOverOnly = { epochBump: false, commitRetry: false }

/** What each session was opened with: whose epoch it resumes. */
const resumed = ({ double }: Rig.Rig): ReadonlyArray<number | null> =>
  double.calls.filter(({ operation }) => operation === "openSession").map(({ resume }) =>
    resume?.epoch ?? null
  )

const takeOver = ({ double }: Rig.Rig) => double.broker.initialize("orders-0", 15_000, 0)

const pay = ({ producer }: Rig.Rig, value: string) =>
  Rig.timed(Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record(value)])))

/** A transaction whose body takes longer than the broker waits. */
const oversleep = ({ producer }: Rig.Rig, limitMillis: number) =>
  Rig.timed(Rig.scopeForm(producer, (transaction) =>
    Effect.gen(function*() {
      yield* transaction.send([Rig.record("slow")])
      yield* Effect.sleep(limitMillis)
      yield* transaction.send([Rig.record("too late")])
    })))

/** A transaction whose abort has no answer: its session cannot be used again. */
const spoil = ({ double, producer }: Rig.Rig) =>
  Effect.suspend(() => {
    double.script("abort", Fault.NoAnswer())
    const body = (transaction: Rig.Open) =>
      Effect.andThen(transaction.send([Rig.record("a")]), Effect.fail("mine"))
    return Rig.timed(Rig.scopeForm(producer, body), 10_000)
  })

const assertDead = (rig: Rig.Rig) =>
  Effect.gen(function*() {
    const initialised = rig.double.count("initialize")
    assert.strictEqual((yield* rig.producer.status).state, "Dead")
    const next = Rig.reason((yield* pay(rig, "next")).exit, "ProducerFenced")
    assert.strictEqual(next.transactionalId, "orders-0")
    assert.strictEqual(rig.double.count("initialize"), initialised, "a dead producer asks nothing")
    assert.strictEqual(rig.events.filter(({ _tag }) => _tag === "Fenced").length, 1)
  })

describe("a session that is not clean", () => {
  it.effect("is replaced by one that asks for the id's last epoch; the first takes it", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      yield* spoil(rig)
      assert(Exit.isSuccess((yield* pay(rig, "b")).exit))
      assert.deepStrictEqual(resumed(rig), [null, 0])
      assert.deepStrictEqual(rig.double.visible(), ["b"])
    }))

  it.effect("is replaced by one that takes the id, where the driver cannot ask", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: takenOverOnly })
      yield* spoil(rig)
      assert(Exit.isSuccess((yield* pay(rig, "b")).exit))
      assert.deepStrictEqual(resumed(rig), [null, null])
    }))

  it.effect("and is not dead where another one took it in the same moment", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: takenOverOnly })
      rig.double.script("initialize", Fault.Answer({ code: 90 }))
      yield* spoil(rig)
      assert(Exit.isSuccess((yield* pay(rig, "b")).exit))
      assert.deepStrictEqual(rig.double.visible(), ["b"])
    }))

  it.effect("is asked for again, when the answer to the asking was lost", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      rig.double.script("initialize", Fault.ActNoAnswer())
      yield* spoil(rig)
      assert(Exit.isSuccess((yield* pay(rig, "b")).exit))
      assert.deepStrictEqual(resumed(rig), [null, 0, 0])
    }))
})

describe("a producer whose transaction took longer than the broker waits", () => {
  it.effect("goes on where nobody else has taken its id", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      Rig.reason((yield* oversleep(rig, 20_000)).exit, "TransactionTimedOut")
      assert(Exit.isSuccess((yield* pay(rig, "b")).exit))
      assert.deepStrictEqual(rig.double.visible(), ["b"])
    }))

  it.effect("is dead where another instance has, which goes on", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      const slow = yield* Rig.timed(Rig.scopeForm(rig.producer, (transaction) =>
        Effect.gen(function*() {
          yield* transaction.send([Rig.record("slow")])
          yield* Effect.sleep(20_000)
          takeOver(rig)
        })))
      // The body succeeded: what its commit came upon is told as what it was.
      Rig.reason(slow.exit, "ProducerFenced")
      const owner = rig.double.broker.identityOf("orders-0")
      yield* assertDead(rig)
      assert.deepStrictEqual(rig.double.broker.identityOf("orders-0"), owner)
    }))

  it.effect("keeps the failure of its body, and is dead all the same", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      const slow = yield* Rig.timed(
        Rig.scopeForm(rig.producer, (transaction) =>
          Effect.gen(function*() {
            yield* transaction.send([Rig.record("slow")])
            yield* Effect.sleep(20_000)
            takeOver(rig)
            yield* transaction.send([Rig.record("too late")])
          }))
      )
      Rig.reason(slow.exit, "TransactionTimedOut")
      yield* assertDead(rig)
    }))
})

describe("a commit without an answer", () => {
  it.effect("is resolved by the log where another instance has taken over, and not fenced", () =>
    Effect.gen(function*() {
      for (const isCommitted of [true, false]) {
        const rig = yield* Rig.make({ capabilities: epochBump })
        rig.double.script("commit", isCommitted ? Fault.ActNoAnswer() : Fault.NoAnswer())
        yield* Effect.forkChild(
          Effect.andThen(rig.double.next("close"), Effect.sync(() => takeOver(rig))),
          { startImmediately: true }
        )
        const { exit } = yield* pay(rig, "a")
        if (isCommitted) assert(Exit.isSuccess(exit))
        else Rig.reason(exit, "ProducerFenced")
        assert.deepStrictEqual(rig.double.visible(), isCommitted ? ["a"] : [])
        assert.deepStrictEqual(resumed(rig), [null, 0])
        assert(!rig.events.some(({ _tag }) => _tag === "TransactionLeftOpen"))
        yield* assertDead(rig)
      }
    }))
})

describe("an outcome that is asked for later", () => {
  /** A commit that no broker has seen, and no session since: its transaction is still open. */
  const leaveOpen = (rig: Rig.Rig) =>
    Effect.gen(function*() {
      rig.double.script("commit", Fault.NoAnswer())
      rig.double.always("openSession", Fault.NotSent())
      const { exit } = yield* pay(rig, "a")
      Rig.reason(exit, "CommitOutcomeUnknown")
      rig.double.heal()
      return Rig.kafkaError(exit)
    })

  const resolve = ({ double }: Rig.Rig, error: KafkaError) =>
    Effect.provideService(Transaction.resolve(error), KafkaDriver, double.driver)

  it.effect("is one that its producer outlives", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      const error = yield* leaveOpen(rig)
      assert.strictEqual((yield* resolve(rig, error))._tag, "Aborted")
      assert(Exit.isSuccess((yield* pay(rig, "b")).exit))
      assert.deepStrictEqual(rig.double.visible(), ["b"])
    }))

  it.effect("fences nobody who has taken the id since", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      const error = yield* leaveOpen(rig)
      // The marker cannot be read at first, so that the log alone does not answer.
      rig.double.script("endMarker", Fault.NoAnswer())
      takeOver(rig)
      const owner = rig.double.broker.identityOf("orders-0")
      const told = yield* Rig.timed(resolve(rig, error))
      assert(Exit.isSuccess(told.exit))
      assert.strictEqual(told.exit.value._tag, "Aborted")
      assert.deepStrictEqual(rig.double.broker.identityOf("orders-0"), owner)
    }))
})

describe("an InitProducerId that arrives late", () => {
  it.effect("which took the id over at the start is no other instance's fence", () =>
    Effect.gen(function*() {
      const double = yield* Effect.map(
        Rig.make({ capabilities: epochBump }),
        ({ double }) => double
      )
      double.script("initialize", Fault.Late())
      const made = yield* Rig.timed(
        Effect.scoped(Effect.gen(function*() {
          const producer = yield* Rig.makeProducer(double)
          yield* double.releaseLate
          const first = yield* Effect.exit(
            Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("a")]))
          )
          Rig.reason(first, "TransactionAbortable")
          yield* Rig.scopeForm(producer, (transaction) => transaction.send([Rig.record("b")]))
        }))
      )
      assert(Exit.isSuccess(made.exit), String(made.exit))
      assert.deepStrictEqual(double.visible(), ["b"])
    }))

  it.effect("which took the id over is not another's when a session is replaced, either", () =>
    Effect.gen(function*() {
      const { double } = yield* Rig.make({ capabilities: epochBump })
      double.script("initialize", Fault.Late())
      const made = yield* Rig.timed(
        Effect.scoped(Effect.gen(function*() {
          const producer = yield* Rig.makeProducer(double)
          // Between the end of one session and the beginning of the next.
          yield* Effect.forkChild(Effect.andThen(double.next("close"), double.releaseLate), {
            startImmediately: true
          })
          double.script("abort", Fault.NoAnswer())
          const spoilt = yield* Effect.exit(
            Rig.scopeForm(
              producer,
              (own) => Effect.andThen(own.send([Rig.record("a")]), Effect.fail("mine"))
            )
          )
          Rig.failsWith(spoilt, "mine")
          const send = (value: string) =>
            Effect.exit(Rig.scopeForm(producer, (own) => own.send([Rig.record(value)])))
          const second = yield* send("b")
          assert.strictEqual(second._tag, "Success", String(second))
          // It is forgiven once.
          double.broker.initialize("orders-0", 30_000, 0)
          Rig.reason(yield* send("c"), "ProducerFenced")
        }))
      )
      assert(Exit.isSuccess(made.exit), String(made.exit))
      assert.deepStrictEqual(double.visible(), ["b"])
    }))

  it.effect("whose epoch was asked for takes nothing from an instance that came since", () =>
    Effect.gen(function*() {
      const rig = yield* Rig.make({ capabilities: epochBump })
      rig.double.script("initialize", Fault.NoAnswer())
      yield* spoil(rig)
      takeOver(rig)
      // It may be the producer's own, once; the broker says that it is not.
      Rig.reason((yield* pay(rig, "b")).exit, "TransactionAbortable")
      const owner = rig.double.broker.identityOf("orders-0")
      yield* assertDead(rig)
      assert.deepStrictEqual(rig.double.broker.identityOf("orders-0"), owner)
    }))
})
