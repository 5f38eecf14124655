/**
 * How a session is replaced by a driver that asks who has the transactional id before it takes it:
 * by itself after whatever the broker or the network has done to its last transaction, and never
 * from an instance that has taken over.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type {
  KafkaDriver,
  ProducerIdentity,
  ProducerSession,
  Resumption
} from "@kafka-once/core/KafkaDriver"
import { CommitOutcomeUnknown } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { batch, open as openSession, type Opened, sendOne, told, transact } from "./DriverSteps.ts"
import * as LogReader from "./LogReader.ts"
import { type Bench, type DriverAt, make as makeBench, reasonOf, send } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type Producer = TransactionalProducer.TransactionalProducer["Service"]

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * What the suite runs on.
 *
 * **Details**
 *
 * *Shape*: `transactionVersion` is the version of the transaction protocol of the broker, which the
 * driver speaks, too. With `restarts` the broker is restarted in some tests, which takes longer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly transactionVersion: 1 | 2
  readonly restarts: boolean
}

/**
 * Runs the suite over a driver with `epochBump`, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt, options: Options): void => {
  const features = { "transaction.version": options.transactionVersion }
  layer(ProxiedKafka.layer({ features }), { timeout: "3 minutes", excludeTestServices: true })(
    `sessions that are replaced, over ${name}`,
    (it) => {
      byItself(it, driver)
      lost(it, driver)
      takenOver(it, driver)
      resolved(it, driver)
      producers(it, driver)
      if (options.restarts) restarted(it, driver)
    }
  )
}

const timeoutMillis = 1_000

/** How long an answer is waited for that never comes. */
const requestTimeoutMillis = 2_000

interface Session extends Opened {
  readonly resumption: () => Resumption
}

const open = (
  { transactionalId }: Bench,
  options: { readonly resume?: Resumption; readonly transactionTimeoutMillis?: number } = {}
) =>
  Effect.map(
    openSession(transactionalId, { requestTimeoutMillis, ...options }),
    (opened): Session => ({ ...opened, resumption: () => resumptionOf(opened.session) })
  )

const resumptionOf = ({ resumption }: ProducerSession): Resumption => {
  const found = resumption?.() ?? null
  assert(found !== null, "a session of a driver with epochBump has a resumption")
  return found
}

/** A transaction that is left open, with one record in it. */
const leaveOpen = ({ topic }: Bench, { session }: Opened, value: string) =>
  Effect.andThen(session.begin, sendOne(session, batch(topic, 0, value)))

const pay = ({ topic }: Bench, { session }: Opened, value: string) =>
  transact(session, [batch(topic, 0, value)], "commit")

/** A session that replaces another, and its first transaction. */
const goOn = (bench: Bench, { resumption }: Session, value: string) =>
  Effect.gen(function*() {
    const next = yield* open(bench, { resume: resumption() })
    yield* pay(bench, next, value)
    return next
  })

/** Fails unless the broker says that another instance has the id. */
const assertTakenOver = (bench: Bench, { resumption }: Session) =>
  Effect.gen(function*() {
    const failure = yield* Effect.flip(open(bench, { resume: resumption() }))
    assert.strictEqual(told(failure), "InitProducerId: 90")
  })

const describe = ({ transactionalId }: Bench) =>
  Effect.flatMap(
    EmbeddedKafka.EmbeddedKafka,
    (kafka) => LogReader.describeTransaction(kafka, transactionalId)
  )

/** Waits until the coordinator has ended a transaction. */
const awaitEnd = (bench: Bench) =>
  Effect.repeat(describe(bench), {
    until: ({ state }) => state.startsWith("Complete")
  })

const test = (
  driver: DriverAt,
  run: (
    bench: Bench
  ) => Effect.Effect<void, unknown, EmbeddedKafka.EmbeddedKafka | KafkaDriver | Scope.Scope>
) =>
  Effect.gen(function*() {
    const bench = yield* makeBench(driver)
    yield* run(bench).pipe(Effect.scoped, Effect.provide(bench.driver))
  })

const byItself = (it: It, driver: DriverAt): void => {
  it.effect("a session follows one that was idle, with its producer id and a later epoch", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const first = yield* open(bench)
        yield* pay(bench, first, "one")
        const { epoch, leftOpen, producerId } = first.resumption()
        assert.isNull(leftOpen)
        const second = yield* goOn(bench, first, "two")
        assert.strictEqual(second.identity.producerId, producerId)
        assert.isAbove(second.identity.epoch, epoch)
        assert.deepStrictEqual(yield* bench.visible, ["one", "two"])
      })))

  it.effect("and one that has left a transaction open, which is aborted", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const first = yield* open(bench)
        yield* leaveOpen(bench, first, "left")
        assert.isNotNull(first.resumption().leftOpen)
        yield* goOn(bench, first, "two")
        assert.deepStrictEqual(yield* bench.visible, ["two"])
        // What is late of the first cannot be accepted any more.
        const late = yield* Effect.flip(first.session.end("commit"))
        assert.include(["EndTxn: 90", "EndTxn: 47"], told(late))
      })))

  it.effect("and one whose transaction the broker has timed out", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const first = yield* open(bench, { transactionTimeoutMillis: timeoutMillis })
        yield* leaveOpen(bench, first, "slow")
        yield* awaitEnd(bench)
        yield* goOn(bench, first, "two")
        assert.deepStrictEqual(yield* bench.visible, ["two"])
      })))

  it.effect("and one that was told of that by its commit", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const first = yield* open(bench, { transactionTimeoutMillis: timeoutMillis })
        yield* leaveOpen(bench, first, "slow")
        yield* awaitEnd(bench)
        yield* Effect.flip(first.session.end("commit"))
        yield* goOn(bench, first, "two")
        assert.deepStrictEqual(yield* bench.visible, ["two"])
      })))
}

const ends = [
  { how: "commit", shown: ["one", "two"] },
  { how: "abort", shown: ["two"] }
] as const

const lost = (it: It, driver: DriverAt): void => {
  it.effect.each(ends)(
    "and one whose $how was done, and not answered",
    ({ how, shown }) =>
      test(driver, (bench) =>
        Effect.gen(function*() {
          const { proxy, transactionalId } = bench
          const first = yield* open(bench)
          yield* leaveOpen(bench, first, "one")
          const api = { api: "EndTxn", transactionalId } as const
          const unanswered = yield* first.session.end(how).pipe(
            Effect.flip,
            proxy.withRule(FaultProxyRule.dropResponse(api))
          )
          assert.strictEqual(told(unanswered), "EndTxn: NoAnswer")
          yield* goOn(bench, first, "two")
          assert.deepStrictEqual(yield* bench.visible, shown)
        }))
  )

  it.effect.each(["idle", "open"] as const)(
    "and one that was %s, when the answer to the first InitProducerId is lost",
    (moment) =>
      test(driver, (bench) =>
        Effect.gen(function*() {
          const { proxy, transactionalId } = bench
          const first = yield* open(bench)
          if (moment === "open") yield* leaveOpen(bench, first, "one")
          else yield* pay(bench, first, "one")
          // While a transaction is being ended the answer is only "not yet".
          yield* Effect.flip(open(bench, { resume: first.resumption() })).pipe(
            Effect.andThen(describe(bench)),
            Effect.repeat({ until: ({ state }) => state === "Empty" }),
            proxy.withRule(FaultProxyRule.dropResponse({ api: "InitProducerId", transactionalId }))
          )
          yield* goOn(bench, first, "two")
          assert.deepStrictEqual(yield* bench.visible, moment === "open" ? ["two"] : ["one", "two"])
        }))
  )
}

/** What an instance that has taken over has done, when the one before wakes. */
const doings = [
  { doing: "that has done nothing", run: () => Effect.void, shown: [] },
  {
    doing: "that has a transaction open",
    run: (bench: Bench, other: Opened) => leaveOpen(bench, other, "its own"),
    shown: ["its own"]
  },
  {
    doing: "that has committed",
    run: (bench: Bench, other: Opened) => pay(bench, other, "its own"),
    shown: ["its own"]
  },
  {
    doing: "that has aborted",
    run: ({ topic }: Bench, other: Opened) =>
      transact(other.session, [batch(topic, 0, "aborted")], "abort"),
    shown: []
  }
] as const

/** What the instance before has left. */
const leavings = [
  { left: "nothing open", options: {}, leave: () => Effect.void },
  {
    left: "a transaction open",
    options: {},
    leave: (bench: Bench, first: Session) => leaveOpen(bench, first, "zombie")
  },
  {
    left: "a transaction open that has timed out",
    options: { transactionTimeoutMillis: timeoutMillis },
    leave: (bench: Bench, first: Session) =>
      Effect.andThen(leaveOpen(bench, first, "zombie"), awaitEnd(bench))
  }
] as const

const takenOver = (it: It, driver: DriverAt): void => {
  it.effect.each(
    leavings.flatMap((leaving) => doings.map((doing) => ({ ...leaving, ...doing })))
  )(
    "one that has left $left takes nothing from an instance $doing",
    ({ doing, leave, options, run, shown }) =>
      test(driver, (bench) =>
        Effect.gen(function*() {
          const first = yield* open(bench, options)
          yield* leave(bench, first)
          const other = yield* open(bench)
          yield* run(bench, other)
          yield* assertTakenOver(bench, first)
          // Nothing of the other's was touched: what it has open it commits, and it goes on.
          if (doing === "that has a transaction open") yield* other.session.end("commit")
          yield* pay(bench, other, "next")
          assert.deepStrictEqual(yield* bench.visible, [...shown, "next"])
        }))
  )

  it.effect("an instance that was taken over while its commit was on its way is told so", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const { proxy, transactionalId } = bench
        const first = yield* open(bench)
        yield* leaveOpen(bench, first, "zombie")
        yield* first.session.end("commit").pipe(
          Effect.flip,
          proxy.withRule(FaultProxyRule.dropRequest({ api: "EndTxn", transactionalId }))
        )
        const other = yield* open(bench)
        yield* assertTakenOver(bench, first)
        yield* pay(bench, other, "next")
        assert.deepStrictEqual(yield* bench.visible, ["next"])
      })))
}

/** The error of a commit that no broker has seen, and whose transaction is still open. */
const unknownOutcome = ({ epoch, producerId }: ProducerIdentity, transactionalId: string) =>
  new CommitOutcomeUnknown({ transactionalId, producerId, epoch, acknowledged: [], offsets: [] })

const resolved = (it: It, driver: DriverAt): void => {
  it.effect.each(doings)(
    "an outcome that is asked for later takes nothing from an instance $doing",
    ({ doing, run, shown }) =>
      test(driver, (bench) =>
        Effect.gen(function*() {
          const first = yield* open(bench)
          yield* leaveOpen(bench, first, "zombie")
          const error = unknownOutcome(first.identity, bench.transactionalId)
          const other = yield* open(bench)
          yield* run(bench, other)
          assert.strictEqual((yield* Transaction.resolve(error))._tag, "Aborted")
          if (doing === "that has a transaction open") yield* other.session.end("commit")
          yield* pay(bench, other, "next")
          assert.deepStrictEqual(yield* bench.visible, [...shown, "next"])
        }))
  )

  it.effect("an outcome that is asked for later is one that its session outlives", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const first = yield* open(bench)
        yield* leaveOpen(bench, first, "one")
        const error = unknownOutcome(first.identity, bench.transactionalId)
        assert.strictEqual((yield* Transaction.resolve(error))._tag, "Aborted")
        yield* goOn(bench, first, "two")
        assert.deepStrictEqual(yield* bench.visible, ["two"])
      })))
}

const producers = (it: It, driver: DriverAt): void => {
  it.effect("a producer that wakes after its timeout dies; its replacement is not touched", () =>
    test(driver, (bench) =>
      Effect.gen(function*() {
        const { options, topic } = bench
        const older = yield* TransactionalProducer.make({
          ...options,
          transactionTimeout: "3 seconds"
        })
        // It outlives the older one's transaction.
        const scope = yield* Effect.scope
        const takeOver = TransactionalProducer.make(options).pipe(Scope.provide(scope))
        const made = yield* Deferred.make<Producer>()
        const slow = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
          const { send: pay } = yield* older.begin()
          yield* pay([{ topic, partition: 0, value: "zombie" }])
          yield* Effect.sleep("3500 millis") // the fault itself: a body that sleeps
          yield* awaitEnd(bench)
          const newer = yield* takeOver
          yield* Deferred.succeed(made, newer)
          yield* send(topic, "newer").pipe(newer.withTransaction())
        })))
        assert.strictEqual(reasonOf(slow), "ProducerFenced")
        const next = yield* Effect.exit(send(topic, "zombie").pipe(older.withTransaction()))
        assert.strictEqual(reasonOf(next), "ProducerFenced")
        const newer = yield* Deferred.await(made)
        yield* send(topic, "newer still").pipe(newer.withTransaction())
        assert.deepStrictEqual(yield* bench.visible, ["newer", "newer still"])
      })))
}

const restarted = (it: It, driver: DriverAt): void => {
  it.effect.each(ends)(
    "a session follows one whose $how was done and not answered, then its coordinator restarted",
    ({ how, shown }) =>
      test(driver, (bench) =>
        Effect.gen(function*() {
          const { proxy, transactionalId } = bench
          const kafka = yield* EmbeddedKafka.EmbeddedKafka
          const first = yield* open(bench)
          yield* leaveOpen(bench, first, "one")
          const api = { api: "EndTxn", transactionalId } as const
          yield* first.session.end(how).pipe(
            Effect.flip,
            proxy.withRule(FaultProxyRule.dropResponse(api))
          )
          yield* awaitEnd(bench)
          // The next coordinator reads the log, in which the last epoch but one is not.
          yield* kafka.restart
          yield* goOn(bench, first, "two")
          assert.deepStrictEqual(yield* bench.visible, shown)
        })),
    120_000
  )
}
