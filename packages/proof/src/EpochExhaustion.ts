/**
 * What happens when the epochs of a producer id are used up: the coordinator gives the
 * transactional id a new producer id, in its answer to InitProducerId or, at version 2 of the
 * transaction protocol, to EndTxn (KIP-360, KIP-890). Nothing of that is to be seen from outside,
 * whatever is lost just then.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { batch, open, sendOne, transact } from "./DriverSteps.ts"
import {
  assertDecided,
  commitOf,
  type Loss,
  losses,
  oneRecord,
  outcomeOf
} from "./internal/lostCommit.ts"
import * as SpentEpochs from "./internal/spentEpochs.ts"
import * as LogReader from "./LogReader.ts"
import * as PartitionLog from "./PartitionLog.ts"
import { type Bench, type DriverAt, make as makeBench, reasonOf, send } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * What the suite runs on.
 *
 * **Details**
 *
 * *Shape*: `transactionVersion` is the version of the transaction protocol that broker and driver
 * speak. `epochBump` is the driver's capability.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly transactionVersion: 1 | 2
  readonly epochBump: boolean
}

/** The first epoch that a session of each transactional id gets. */
const firstEpochs = {
  "within-a-session": SpentEpochs.lastEpoch - 10,
  "between-sessions": SpentEpochs.lastEpoch - 9,
  "commit-answer-lost": SpentEpochs.lastEpoch,
  "commit-request-lost": SpentEpochs.lastEpoch,
  "commit-answer-lost-once": SpentEpochs.lastEpoch,
  "taken-over": SpentEpochs.lastEpoch,
  "timed-out": SpentEpochs.lastEpoch,
  "initialised-without-an-answer": SpentEpochs.lastEpoch
}

type Id = keyof typeof firstEpochs

const spent = Layer.effectDiscard(Effect.forEach(
  Object.entries(firstEpochs),
  ([transactionalId, epoch]) => SpentEpochs.spend(transactionalId, epoch - 1),
  { concurrency: "unbounded" }
))

/**
 * Runs the suite over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt, options: Options): void => {
  const { epochBump, transactionVersion } = options
  const features = { "transaction.version": transactionVersion }
  layer(Layer.provideMerge(spent, ProxiedKafka.layer({ features })), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`a producer id whose epochs are used up, over ${name}`, (it) => {
    if (transactionVersion === 2 && epochBump) withinSession(it, driver)
    betweenSessions(it, driver)
    lost(it, driver)
    takenOver(it, driver, options)
    if (epochBump) replaced(it, driver)
  })
}

/** Runs a test with the transactional id that was brought to its last epochs for it. */
const over = <E, R>(
  driver: DriverAt,
  transactionalId: Id,
  test: (bench: Bench) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function*() {
    const made = yield* makeBench(driver)
    const options = { ...made.options, transactionalId }
    const bench: Bench = { ...made, transactionalId, options }
    yield* test(bench).pipe(Effect.scoped, Effect.provide(bench.driver))
  })

const values = Array.from({ length: 20 }, (_, index) => `${index}`)

interface Written {
  readonly value: string
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly decision: PartitionLog.Decided["decision"]
}

/** What is in the log, in order, and by whom. */
const written = ({ topic }: Bench) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const [log] = yield* LogReader.readSettled(kafka, topic)
    assert(log !== undefined)
    return PartitionLog.decide(log).map((record): Written => {
      const { decision, producerEpoch, producerId } = record
      return { value: PartitionLog.textOf(record), producerId, producerEpoch, decision }
    })
  })

const outcomes = (records: ReadonlyArray<Written>) =>
  records.map(({ decision, value }) => [value, decision])

/** Fails unless every value is there once, in order, the later ones under a new producer id. */
const assertRolledOver = (records: ReadonlyArray<Written>) => {
  assert.deepStrictEqual(records.map(({ value }) => value), values)
  assert.deepStrictEqual([...new Set(records.map(({ decision }) => decision))], ["committed"])
  const at = records.findIndex(({ producerId }) => producerId !== records[0]?.producerId)
  assert.isAbove(at, 0, "a new producer id")
  const [older, newer] = [records.slice(0, at), records.slice(at)]
  assert.strictEqual(new Set(newer.map(({ producerId }) => producerId)).size, 1)
  assert.strictEqual(newer[0]?.producerEpoch, 0)
  return { older, newer }
}

const withinSession = (it: It, driver: DriverAt): void => {
  it.effect("20 transactions of a session go past the last epoch, each committed once", () =>
    over(driver, "within-a-session", (bench) =>
      Effect.gen(function*() {
        const { options, proxy, topic, transactionalId } = bench
        const from = yield* proxy.log.position
        const producer = yield* TransactionalProducer.make(options)
        for (const value of values) yield* send(topic, value).pipe(producer.withTransaction())
        const { newer, older } = assertRolledOver(yield* written(bench))
        // An epoch for each transaction, and none left out.
        const epochs = older.map(({ producerEpoch }) => producerEpoch)
        const first = firstEpochs[transactionalId as Id]
        assert.deepStrictEqual(epochs, epochs.map((_, index) => first + index))
        assert.strictEqual(epochs.at(-1), SpentEpochs.lastEpoch)
        assert.deepStrictEqual(
          newer.map(({ producerEpoch }) => producerEpoch),
          newer.map((_, index) => index)
        )
        const requests = yield* proxy.log.entries
        const initialised = requests.filter(({ api, position, transactionalId: of }) =>
          position >= from && api === "InitProducerId" && of === transactionalId
        )
        assert.strictEqual(initialised.length, 1)
      })))
}

const betweenSessions = (it: It, driver: DriverAt): void => {
  it.effect("20 producers after each other go past the last epoch, and none is fenced", () =>
    over(driver, "between-sessions", (bench) =>
      Effect.gen(function*() {
        for (const value of values) {
          yield* Effect.scoped(Effect.flatMap(
            TransactionalProducer.make(bench.options),
            (producer) => send(bench.topic, value).pipe(producer.withTransaction())
          ))
        }
        assertRolledOver(yield* written(bench))
      })))
}

const lost = (it: It, driver: DriverAt): void => {
  it.effect.each(losses)(
    "a commit at the last epoch whose $lost is lost is told as it is, and the next one commits",
    (loss) =>
      over(driver, `commit-${loss.lost}-lost`, (bench) =>
        Effect.gen(function*() {
          const { options, proxy, topic, transactionalId } = bench
          const producer = yield* TransactionalProducer.make(options)
          const found = yield* outcomeOf(producer, oneRecord(topic)).pipe(
            proxy.withRule(loss.rule(commitOf(transactionalId)))
          )
          assertDecided(found, loss)
          yield* assertGoesOn(bench, producer, loss)
        }))
  )

  it.effect("nor is a commit in doubt there whose answer is lost once", () =>
    over(driver, "commit-answer-lost-once", (bench) =>
      Effect.gen(function*() {
        const { options, proxy, topic, transactionalId } = bench
        const producer = yield* TransactionalProducer.make(options)
        const found = yield* outcomeOf(producer, oneRecord(topic)).pipe(
          proxy.withRule(FaultProxyRule.dropResponse({ ...commitOf(transactionalId), nth: 1 }))
        )
        assert.strictEqual(found._tag, "Committed")
        yield* assertGoesOn(bench, producer, { decided: "committed" })
      })))
}

const assertGoesOn = (
  bench: Bench,
  producer: TransactionalProducer.TransactionalProducer["Service"],
  { decided }: Pick<Loss, "decided">
) =>
  Effect.gen(function*() {
    yield* send(bench.topic, "next").pipe(producer.withTransaction())
    const records = yield* written(bench)
    assert.deepStrictEqual(outcomes(records), [["ours", decided], ["next", "committed"]])
    const [ours, next] = records
    assert.strictEqual(ours?.producerEpoch, SpentEpochs.lastEpoch, "ours was at the last epoch")
    assert.notStrictEqual(next?.producerId, ours?.producerId)
    yield* bench.assertNothingOpen
  })

/**
 * The coordinator does not know the old producer id any more, and says no more than that: it would
 * say the same of a transactional id that has expired. Who is told so by its commit asks who has
 * the id, with `epochBump`, and ends; without it, it takes the id back, once.
 */
const takenOver = (it: It, driver: DriverAt, { epochBump }: Options): void => {
  it.effect("of two instances, one of them at the last epoch, one commits and one is fenced", () =>
    over(driver, "taken-over", (bench) =>
      Effect.gen(function*() {
        const { options, topic } = bench
        const older = yield* TransactionalProducer.make(options)
        // It outlives the older one's transaction.
        const scope = yield* Effect.scope
        const takeOver = TransactionalProducer.make(options).pipe(Scope.provide(scope))
        const made = yield* Deferred.make<typeof older>()
        const zombie = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
          const { send } = yield* older.begin()
          yield* send([{ topic, partition: 0, value: "zombie" }])
          yield* Deferred.succeed(made, yield* takeOver)
        })))
        assert.strictEqual(reasonOf(zombie), epochBump ? "ProducerFenced" : "CommitRefused")
        const newer = yield* Deferred.await(made)
        const [alive, fenced] = epochBump ? [newer, older] : [older, newer]
        const exit = yield* Effect.exit(send(topic, "fenced").pipe(fenced.withTransaction()))
        assert.strictEqual(reasonOf(exit), "ProducerFenced")
        yield* send(topic, "alive").pipe(alive.withTransaction())
        const records = yield* written(bench)
        assert.deepStrictEqual(outcomes(records), [["zombie", "aborted"], ["alive", "committed"]])
        assert.strictEqual(records[0]?.producerEpoch, SpentEpochs.lastEpoch)
        assert.notStrictEqual(records[1]?.producerId, records[0]?.producerId)
      })))
}

const describe = ({ transactionalId }: Bench) =>
  Effect.flatMap(
    EmbeddedKafka.EmbeddedKafka,
    (kafka) => LogReader.describeTransaction(kafka, transactionalId)
  )

/** Sessions that are told whom they replace, and so never take the id from another instance. */
const replaced = (it: It, driver: DriverAt): void => {
  const openAt = (
    { transactionalId }: Bench,
    options: Parameters<typeof open>[1] = {}
  ) => open(transactionalId, { requestTimeoutMillis: 1_000, ...options })

  it.effect("a session follows one whose transaction at the last epoch was timed out", () =>
    over(driver, "timed-out", (bench) =>
      Effect.gen(function*() {
        const { session } = yield* openAt(bench, { transactionTimeoutMillis: 1_000 })
        yield* session.begin
        yield* sendOne(session, batch(bench.topic, 0, "slow"))
        yield* Effect.repeat(describe(bench), {
          until: ({ state }) => state.startsWith("Complete")
        })
        const resume = session.resumption?.() ?? null
        assert(resume !== null)
        const next = yield* openAt(bench, { resume })
        assert.notStrictEqual(next.identity.producerId, resume.producerId)
        yield* transact(next.session, [batch(bench.topic, 0, "next")], "commit")
        assert.deepStrictEqual(yield* bench.visible, ["next"])
      })))

  it.effect("and one at the last epoch, when the answer with the new producer id is lost", () =>
    over(driver, "initialised-without-an-answer", (bench) =>
      Effect.gen(function*() {
        const { proxy, transactionalId } = bench
        const { identity, session } = yield* openAt(bench)
        const resume = session.resumption?.() ?? null
        assert(resume !== null)
        yield* Effect.flip(openAt(bench, { resume })).pipe(
          proxy.withRule(FaultProxyRule.dropResponse({ api: "InitProducerId", transactionalId }))
        )
        const { producerEpoch, producerId } = yield* describe(bench)
        assert.notStrictEqual(producerId, identity.producerId)
        const next = yield* openAt(bench, { resume })
        assert.deepStrictEqual(next.identity, { producerId, epoch: producerEpoch })
        yield* transact(next.session, [batch(bench.topic, 0, "next")], "commit")
        assert.deepStrictEqual(yield* bench.visible, ["next"])
      })))
}
