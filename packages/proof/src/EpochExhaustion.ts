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
import * as LastEpochSessions from "./internal/lastEpochSessions.ts"
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
import { type DriverAt, reasonOf, send } from "./ProducerBench.ts"
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

/**
 * Runs the suite over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt, options: Options): void => {
  const features = { "transaction.version": options.transactionVersion }
  layer(Layer.provideMerge(SpentEpochs.layer(options), ProxiedKafka.layer({ features })), {
    timeout: "3 minutes",
    excludeTestServices: true
  })(`a producer id whose epochs are used up, over ${name}`, (it) => {
    if (SpentEpochs.endsGiveEpochs(options)) withinSession(it, driver)
    betweenSessions(it, driver)
    lost(it, driver)
    takenOver(it, driver, options)
    if (options.epochBump) LastEpochSessions.tests(it, driver, options)
  })
}

const values = Array.from({ length: 20 }, (_, index) => `${index}`)

interface Written {
  readonly value: string
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly decision: PartitionLog.Decided["decision"]
}

/** What is in the log, in order, and by whom. */
const written = ({ topic }: SpentEpochs.Bench) =>
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
    SpentEpochs.over(driver, "within-a-session", (bench) =>
      Effect.gen(function*() {
        const { options, proxy, topic, transactionalId } = bench
        const from = yield* proxy.log.position
        const producer = yield* TransactionalProducer.make(options)
        for (const value of values) yield* send(topic, value).pipe(producer.withTransaction())
        const { newer, older } = assertRolledOver(yield* written(bench))
        // An epoch for each transaction, and none left out.
        const epochs = older.map(({ producerEpoch }) => producerEpoch)
        assert.deepStrictEqual(
          epochs,
          epochs.map((_, index) => SpentEpochs.withinSessionFrom + index)
        )
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
    SpentEpochs.over(driver, "between-sessions", (bench) =>
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
      SpentEpochs.over(driver, `commit-${loss.lost}-lost`, (bench) =>
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
    SpentEpochs.over(driver, "commit-answer-lost-once", (bench) =>
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
  bench: SpentEpochs.Bench,
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
  })

/**
 * The coordinator does not know the old producer id any more, and says no more than that: it would
 * say the same of a transactional id that has expired. Who is told so by its commit asks who has
 * the id, with `epochBump`, and ends; without it, it takes the id back, once.
 */
const takenOver = (it: It, driver: DriverAt, { epochBump }: Options): void => {
  it.effect("of two instances, one of them at the last epoch, one commits and one is fenced", () =>
    SpentEpochs.over(driver, "taken-over", (bench) =>
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
