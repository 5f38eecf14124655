/**
 * What the library promises over a driver, shown on a real broker with faults on the wire.
 *
 * Each title states a promise of the README. Visible records are read by `LogReader`, which shares
 * no code with any driver, and in one test by the Java client too; a fault that never happened
 * fails its test.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { lanes } from "./internal/lanes.ts"
import { resolveElsewhere } from "./internal/resolveElsewhere.ts"
import * as PartitionLog from "./PartitionLog.ts"
import {
  type DriverAt,
  make as makeBench,
  reasonOf,
  send,
  soon,
  timeouts,
  withProducer
} from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * What differs from driver to driver, and from broker to broker.
 *
 * **Details**
 *
 * *Shape*
 * - `broker`: the broker that the contract runs on.
 * - `registersBy`: the request that makes a partition part of a transaction; at version 2 of the
 *   transaction protocol that is Produce itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly broker?: EmbeddedKafka.Options
  readonly registersBy?: "AddPartitionsToTxn" | "Produce"
}

/**
 * Runs the contract of the library over a driver, on a broker of its own.
 *
 * **Details**
 *
 * *Shape*: `resolveProgram` is the file of a program with the driver that resolves an unknown
 * outcome: the brokers are its arguments, the error is its input, as the JSON of
 * `Schema.toCodecJson(KafkaError)`, and the tag of what it found is its output.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  name: string,
  driver: DriverAt,
  resolveProgram: string,
  options: Options = {}
): void => {
  layer(ProxiedKafka.layer(options.broker), { timeout: "3 minutes", excludeTestServices: true })(
    `the producer, over ${name}`,
    (it) => {
      lostCommits(it, driver)
      laterElsewhere(it, driver, resolveProgram)
      lostSends(it, driver)
      lostAborts(it, driver)
      refusals(it, driver)
      registrations(it, driver, options.registersBy ?? "AddPartitionsToTxn")
      owners(it, driver)
      lanes(it, driver)
    }
  )
}

const lostCommits = (it: It, driver: DriverAt): void => {
  it.effect("a commit whose response is lost is committed once, also under a schedule (P4)", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const lost = FaultProxyRule.dropResponse({
            api: "EndTxn",
            commit: true,
            nth: 1,
            transactionalId
          })
          yield* send(topic, "one").pipe(
            producer.withTransaction({ retry: soon }),
            proxy.withRule(lost)
          )
          yield* send(topic, "two").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, ["one", "two"])
        })
    ))

  it.effect("in the scope form too, also under a plain retry of what timed out", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          // Every attempt, of a driver that can repeat a commit.
          const lost = FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, transactionalId })
          const outcome = yield* Effect.scoped(Effect.gen(function*() {
            const transaction = yield* producer.begin()
            yield* transaction.send([{ topic, key: "key", value: "one" }])
            return transaction
          })).pipe(
            Effect.retry({ while: (error) => error.reason._tag === "TimedOut", times: 3 }),
            Effect.flatMap(({ outcome }) => outcome),
            proxy.withRule(lost)
          )
          assert.deepInclude(outcome, { _tag: "Committed", proof: "end marker" })
          assert.deepStrictEqual(yield* visible, ["one"])
        })
    ))

  it.effect("and under Transaction.retry around the scope", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const lost = FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, transactionalId })
          let runs = 0
          yield* Effect.scoped(Effect.gen(function*() {
            runs += 1
            const transaction = yield* producer.begin()
            yield* transaction.send([{ topic, key: "key", value: "one" }])
          })).pipe(Transaction.retry(Schedule.recurs(3)), proxy.withRule(lost))
          assert.strictEqual(runs, 1)
          assert.deepStrictEqual(yield* visible, ["one"])
        })
    ))

  it.effect("a commit that never arrived is proven aborted, and run again", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const match = { api: "EndTxn", commit: true, transactionalId } as const
          const exit = yield* send(topic, "one").pipe(
            producer.withTransaction(),
            Effect.exit,
            proxy.withRule(FaultProxyRule.dropRequest(match))
          )
          assert.strictEqual(reasonOf(exit), "CommitRefused")
          yield* send(topic, "two").pipe(
            producer.withTransaction({ retry: soon }),
            proxy.withRule(FaultProxyRule.dropRequest({ ...match, nth: 1 }))
          )
          assert.deepStrictEqual(yield* visible, ["two"])
        })
    ))

  it.effect("a commit that arrives after its transaction was decided is void (P6, P7)", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const { commitRetry } = (yield* KafkaDriver).capabilities
          const match = { api: "EndTxn", commit: true, nth: 1, transactionalId } as const
          const held = FaultProxyRule.hold(match, "late commit")
          yield* Effect.gen(function*() {
            const exit = yield* send(topic, "one").pipe(producer.withTransaction(), Effect.exit)
            // The first attempt is in the network still: a repetition of it commits, or a fence
            // aborts.
            assert.strictEqual(reasonOf(exit), commitRetry ? "success" : "CommitRefused")
            // The next transaction is open when the old commit comes through.
            yield* Effect.gen(function*() {
              yield* send(topic, "two")
              assert.strictEqual(yield* proxy.release("late commit"), 1)
              yield* send(topic, "three")
              return yield* Effect.fail("abort")
            }).pipe(producer.withTransaction(), Effect.exit)
          }).pipe(proxy.withRule(held))
          assert.deepStrictEqual(yield* visible, commitRetry ? ["one"] : [])
          yield* send(topic, "four").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, commitRetry ? ["four", "one"] : ["four"])
        })
    ))
}

const laterElsewhere = (it: It, driver: DriverAt, program: string): void => {
  it.effect("what stays unknown is answered later in another process, by its error alone", () =>
    Effect.gen(function*() {
      const bench = yield* makeBench(driver)
      const { options, proxy, topic, transactionalId, visible } = bench
      const match = { api: "EndTxn", commit: true, nth: 1, transactionalId } as const
      const exit = yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make(options)
        const rule = yield* proxy.inject(FaultProxyRule.dropResponse(match))
        yield* Effect.forkScoped(Effect.andThen(rule.fired, proxy.blackhole("both")))
        return yield* Effect.exit(send(topic, "one").pipe(producer.withTransaction()))
      }).pipe(Effect.scoped, Effect.provide(bench.driver), Effect.ensuring(proxy.heal))
      assert.strictEqual(reasonOf(exit), "CommitOutcomeUnknown")
      const error = Option.getOrThrow(Exit.findErrorOption(exit))
      assert(error._tag === "KafkaError")
      // The producer and its driver are closed: all that is left of them is this text.
      const text = JSON.stringify(yield* Schema.encodeEffect(Schema.toCodecJson(KafkaError))(error))
      const found = yield* resolveElsewhere(program, [`${proxy.host}:${proxy.port}`], text)
      assert.strictEqual(found, "Committed")
      assert.deepStrictEqual(yield* visible, ["one"])
    }))
}

/** The one test that asks Java too keeps the reader of all others honest. */
const seenByJava = (topic: string) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const records = yield* CommittedRecords.read({ ...kafka, topic })
    return records.map(PartitionLog.textOf)
  })

const lostSends = (it: It, driver: DriverAt): void => {
  it.effect("a committed record is in the log, whatever was lost before it (P1)", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const lost = FaultProxyRule.dropResponse({ api: "Produce", transactionalId })
          const first = yield* send(topic, "aborted").pipe(
            producer.withTransaction(),
            Effect.exit,
            proxy.withRule(lost)
          )
          assert.strictEqual(reasonOf(first), "TimedOut")
          yield* send(topic, "committed").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, ["committed"])
          assert.deepStrictEqual(yield* seenByJava(topic), ["committed"])
        })
    ))

  it.effect("a send that is aborted while it is pending is never part of the next (P2)", () =>
    withProducer(
      driver,
      ({ assertNothingOpen, topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const swallowed = FaultProxyRule.dropRequest({
            api: "Produce",
            nth: [1, 2],
            transactionalId
          })
          yield* Effect.gen(function*() {
            const rule = yield* proxy.inject(swallowed)
            yield* send(topic, "aborted").pipe(
              Effect.raceFirst(rule.fired),
              Effect.andThen(Effect.fail("abort")),
              producer.withTransaction(),
              Effect.exit
            )
          }).pipe(Effect.scoped)
          yield* assertNothingOpen
          yield* send(topic, "committed").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, ["committed"])
        })
    ))

  it.effect("after the scope has closed nothing of it is on the wire (P3, I3)", () =>
    Effect.gen(function*() {
      const bench = yield* makeBench(driver)
      const { topic, transactionalId, proxy } = bench
      const match = { transactionalId }
      yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make(bench.options)
        const rule = yield* proxy.inject(FaultProxyRule.dropRequest({ api: "Produce", ...match }))
        yield* send(topic, "never").pipe(
          Effect.raceFirst(rule.fired),
          Effect.andThen(Effect.fail("abort")),
          producer.withTransaction(),
          Effect.exit
        )
      }).pipe(Effect.scoped, Effect.provide(bench.driver))
      const before = (yield* proxy.log.entries).length
      // A second producer's whole transaction is the time in which something late would show.
      yield* Effect.gen(function*() {
        const producer = yield* TransactionalProducer.make({
          ...bench.options,
          transactionalId: `${transactionalId}-other`
        })
        yield* send(topic, "other").pipe(producer.withTransaction())
      }).pipe(Effect.scoped, Effect.provide(bench.driver))
      const late = (yield* proxy.log.entries).slice(before).filter((entry) =>
        entry.transactionalId === transactionalId
      )
      assert.deepStrictEqual(late, [])
      assert.deepStrictEqual(yield* bench.visible, ["other"])
    }))

  it.effect("two sends to one partition whose first answer is lost are each there once (P14)", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const lost = FaultProxyRule.dropResponse({ api: "Produce", nth: 1, transactionalId })
          yield* Effect.all([send(topic, "one"), send(topic, "two")], { concurrency: 2 }).pipe(
            producer.withTransaction(),
            proxy.withRule(lost)
          )
          assert.deepStrictEqual(yield* visible, ["one", "two"])
        })
    ))

  it.effect("a batch over two partitions that is sent again is there once", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const lost = FaultProxyRule.dropResponse({ api: "Produce", nth: 1, transactionalId })
          yield* Transaction.send([
            { topic, partition: 0, value: "one" },
            { topic, partition: 1, value: "two" }
          ]).pipe(producer.withTransaction(), proxy.withRule(lost))
          assert.deepStrictEqual(yield* visible, ["one", "two"])
        })
    ))
}

const lostAborts = (it: It, driver: DriverAt): void => {
  it.effect("an abort whose answer is lost keeps the body's error, and leaves nothing open", () =>
    withProducer(
      driver,
      ({ assertNothingOpen, topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const lost = FaultProxyRule.dropRequest({ api: "EndTxn", commit: false, transactionalId })
          const exit = yield* send(topic, "aborted").pipe(
            Effect.andThen(Effect.fail("mine")),
            producer.withTransaction(),
            Effect.exit,
            proxy.withRule(lost)
          )
          assert.strictEqual(reasonOf(exit), "mine")
          yield* assertNothingOpen
          // An open transaction would hold every later record back from the reader.
          yield* send(topic, "committed").pipe(producer.withTransaction())
          assert.deepStrictEqual(yield* visible, ["committed"])
        })
    ))
}

const refusals = (it: It, driver: DriverAt): void => {
  it.effect.each(
    ["NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"] as const
  )(
    "a commit that is refused with %s is proven aborted, and run again",
    (code) =>
      withProducer(
        driver,
        ({ topic, proxy, transactionalId, visible }, producer) =>
          Effect.gen(function*() {
            const refused = FaultProxyRule.error(
              { api: "EndTxn", commit: true, nth: 1, transactionalId },
              code
            )
            yield* send(topic, "one").pipe(
              producer.withTransaction({ retry: soon }),
              proxy.withRule(refused)
            )
            assert.deepStrictEqual(yield* visible, ["one"])
          })
      )
  )

  it.effect.each(["NOT_LEADER_OR_FOLLOWER", "NOT_ENOUGH_REPLICAS"] as const)(
    "a send that is refused with %s is repeated, and nobody notices",
    (code) =>
      withProducer(
        driver,
        ({ topic, proxy, transactionalId, visible }, producer) =>
          Effect.gen(function*() {
            const match = { api: "Produce", nth: 1, transactionalId } as const
            yield* send(topic, "one", "two").pipe(
              producer.withTransaction(),
              proxy.withRule(FaultProxyRule.error(match, code))
            )
            assert.deepStrictEqual(yield* visible, ["one", "two"])
          })
      )
  )

  it.effect("a code that nobody knows on a commit is resolved, never taken for an abort (I7)", () =>
    withProducer(
      driver,
      ({ topic, proxy, transactionalId, visible }, producer) =>
        Effect.gen(function*() {
          const match = { api: "EndTxn", commit: true, transactionalId } as const
          const unknown = FaultProxyRule.error(match, -1)
          const exit = yield* send(topic, "one").pipe(
            producer.withTransaction(),
            Effect.exit,
            proxy.withRule(unknown)
          )
          assert.strictEqual(reasonOf(exit), "CommitRefused")
          assert.deepStrictEqual(yield* visible, [])
        })
    ))
}

const registrations = (
  it: It,
  driver: DriverAt,
  api: "AddPartitionsToTxn" | "Produce"
): void => {
  it.effect.each(["CONCURRENT_TRANSACTIONS", "NOT_COORDINATOR"] as const)(
    "a registration that is refused with %s is repeated, and nobody notices",
    (code) =>
      withProducer(
        driver,
        ({ topic, proxy, transactionalId, visible }, producer) =>
          Effect.gen(function*() {
            const match = { api, nth: [1, 2], transactionalId } as const
            // The leader asks the coordinator by itself, and says of all else that it has too few.
            const told = api === "Produce" && code === "NOT_COORDINATOR"
              ? "NOT_ENOUGH_REPLICAS"
              : code
            yield* send(topic, "one").pipe(
              producer.withTransaction(),
              proxy.withRule(FaultProxyRule.error(match, told))
            )
            assert.deepStrictEqual(yield* visible, ["one"])
          })
      )
  )
}

const owners = (it: It, driver: DriverAt): void => {
  it.effect("the older of two instances is fenced at once, and stays so", () =>
    withProducer(driver, ({ topic, options, visible }, older) =>
      Effect.gen(function*() {
        const newer = yield* TransactionalProducer.make(options)
        yield* send(topic, "newer").pipe(newer.withTransaction())
        const pay = send(topic, "older").pipe(older.withTransaction({ retry: soon }))
        assert.strictEqual(reasonOf(yield* Effect.exit(pay)), "ProducerFenced")
        assert.strictEqual(reasonOf(yield* Effect.exit(pay)), "ProducerFenced")
        yield* send(topic, "newer still").pipe(newer.withTransaction())
        assert.deepStrictEqual(yield* visible, ["newer", "newer still"])
      }).pipe(Effect.scoped)))

  it.effect("a transaction that the broker has timed out is no fence, and can be run again", () =>
    withProducer(driver, ({ topic, transactionalId, visible }) =>
      Effect.gen(function*() {
        // The body may take 1 s; the broker ends the transaction after 3 s.
        const producer = yield* TransactionalProducer.make({
          ...timeouts,
          transactionalId,
          transactionTimeout: "3 seconds"
        })
        const exit = yield* Effect.scoped(Effect.gen(function*() {
          const transaction = yield* producer.begin()
          yield* transaction.send([{ topic, value: "too late" }])
          yield* Effect.sleep("4 seconds") // the fault itself: a body that takes too long
          yield* transaction.send([{ topic, value: "too late, too" }])
        })).pipe(Effect.exit)
        assert.strictEqual(reasonOf(exit), "TransactionTimedOut")
        yield* send(topic, "again").pipe(producer.withTransaction())
        assert.deepStrictEqual(yield* visible, ["again"])
      }).pipe(Effect.scoped)))
}
