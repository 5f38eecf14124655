/**
 * Commits whose answer is lost where the evidence is hard to come by: behind another producer's
 * open transaction, while the broker is down, after it was deleted, or where there never was any.
 *
 * @since 0.1.0
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { CommitOutcomeUnknown, type KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as DriverSteps from "./DriverSteps.ts"
import { connect, unanswered } from "./internal/brokerRequests.ts"
import {
  assertDecided,
  commitOf,
  losses,
  oneRecord,
  outcomeOf,
  shown
} from "./internal/lostCommit.ts"
import * as StrangersOffsets from "./internal/strangersOffsets.ts"
import * as LogReader from "./LogReader.ts"
import {
  type Bench,
  type DriverAt,
  make as makeBench,
  reasonOf,
  send,
  withProducer
} from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/**
 * What is asked of a driver beyond the rest.
 *
 * **Details**
 *
 * *Shape*: `offsetsAlone` is for drivers whose offsets the broker fences by their group; others
 * send them from a pipeline or a cursor only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly offsetsAlone?: boolean
}

/**
 * Runs the suite over a driver, on a broker of its own, which it also kills.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  name: string,
  driver: DriverAt,
  { offsetsAlone = false }: Options = {}
): void => {
  layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `unknown outcomes, over ${name}`,
    (it) => {
      held(it, driver)
      if (offsetsAlone) alone(it, driver)
      later(it, driver)
      down(it, driver)
    }
  )
}

const held = (it: It, driver: DriverAt): void => {
  it.effect.each(losses)(
    "behind another producer's open transaction a commit whose $lost is lost is known at once",
    (loss) =>
      withProducer(
        driver,
        ({ options, proxy, topic, transactionalId, visible }, producer) =>
          Effect.gen(function*() {
            const other = yield* TransactionalProducer.make({
              ...options,
              transactionalId: `${transactionalId}-other`
            })
            const kafka = yield* EmbeddedKafka.EmbeddedKafka
            yield* Effect.scoped(Effect.gen(function*() {
              const open = yield* other.begin()
              yield* open.send([{ topic, partition: 0, value: "open" }])
              const found = yield* outcomeOf(producer, oneRecord(topic)).pipe(
                proxy.withRule(loss.rule(commitOf(transactionalId)))
              )
              assertDecided(found, loss)
              const [log] = yield* LogReader.read(kafka, topic)
              assert.strictEqual(log?.lastStableOffset, 0n)
              assert.isAbove(Number(log?.highWatermark), 2)
              return yield* Effect.fail("enough")
            })).pipe(Effect.exit)
            assert.deepStrictEqual(yield* visible, shown(loss))
          }).pipe(Effect.scoped)
      )
  )
}

const alone = (it: It, driver: DriverAt): void => {
  it.effect.each(losses)(
    "a commit of offsets alone whose $lost is lost is told by the group's position",
    (loss) =>
      withProducer(
        driver,
        ({ assertNothingOpen, proxy, topic, transactionalId }, producer) =>
          Effect.gen(function*() {
            const kafka = yield* EmbeddedKafka.EmbeddedKafka
            const position = Effect.map(
              LogReader.committedOffsets(kafka, topic),
              ([found]) => found?.offset
            )
            const processed = (lastProcessed: bigint) =>
              StrangersOffsets.of(topic, { topic, partition: 0 }, lastProcessed)
            yield* producer.withTransaction()(Transaction.sendOffsets(yield* processed(1n)))
            const second = yield* processed(6n)
            const found = yield* outcomeOf(
              producer,
              (transaction) => transaction.sendOffsets(second)
            ).pipe(
              proxy.withRule(loss.rule(commitOf(transactionalId)))
            )
            assertDecided(found, loss, "committed offset")
            assert.strictEqual(yield* position, loss.decided === "committed" ? 7n : 2n)
            yield* assertNothingOpen
          })
      )
  )
}

/** Runs a transaction whose commit is lost and then the whole network, until it gives up. */
const unknownCommit = (
  { options, proxy, topic, transactionalId }: Bench
): Effect.Effect<KafkaError, unknown, KafkaDriver | Scope.Scope> =>
  Effect.gen(function*() {
    const producer = yield* TransactionalProducer.make({ ...options, resolveTimeout: "1 second" })
    const exit = yield* Effect.gen(function*() {
      const rule = yield* proxy.inject(FaultProxyRule.dropResponse(commitOf(transactionalId)))
      yield* Effect.forkScoped(Effect.andThen(rule.fired, proxy.blackhole("both")))
      return yield* Effect.exit(send(topic, "ours").pipe(producer.withTransaction()))
    }).pipe(Effect.scoped, Effect.ensuring(proxy.heal))
    assert.strictEqual(reasonOf(exit), "CommitOutcomeUnknown")
    return Option.getOrThrow(Exit.findErrorOption(exit))
  })

const later = (it: It, driver: DriverAt): void => {
  it.effect("when the log no longer holds the evidence, the outcome stays unknown", () =>
    Effect.gen(function*() {
      const bench = yield* makeBench(driver)
      yield* Effect.gen(function*() {
        const error = yield* unknownCommit(bench)
        const { reason } = error
        assert(reason._tag === "CommitOutcomeUnknown")
        yield* deleteRecords(bench.topic)
        assert.deepStrictEqual(yield* Transaction.resolve(error), { _tag: "Unknown", reason })
      }).pipe(Effect.scoped, Effect.provide(bench.driver))
    }))

  it.effect("when nothing was acknowledged, the transaction is aborted, and is so for good", () =>
    Effect.gen(function*() {
      const { assertNothingOpen, driver: through, topic, transactionalId, visible } =
        yield* makeBench(driver)
      yield* Effect.gen(function*() {
        const { identity, session } = yield* DriverSteps.open(transactionalId)
        yield* session.begin
        yield* DriverSteps.sendOne(session, DriverSteps.batch(topic, 0, "never told"))
        const { epoch, producerId } = identity
        const unknown = { transactionalId, producerId, epoch, acknowledged: [], offsets: [] }
        const outcome = yield* Transaction.resolve(new CommitOutcomeUnknown(unknown))
        assert.deepStrictEqual(outcome, { _tag: "Aborted" })
        yield* assertNothingOpen
        const late = yield* Effect.flip(session.end("commit"))
        assert.strictEqual(late.failure._tag, "Answered", late.message)
        assert.deepStrictEqual(yield* visible, [])
      }).pipe(Effect.scoped, Effect.provide(through))
    }))
}

/** Deletes all records of partition 0, as retention does. */
const deleteRecords = (topic: string) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const client = yield* connect(kafka.bootstrapServers[0] ?? "")
    const { topics } = yield* client.request("DeleteRecords", 2, {
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: -1n }] }],
      timeoutMs: 5_000
    }).pipe(unanswered("DeleteRecords"))
    assert.strictEqual(topics[0]?.partitions[0]?.errorCode, 0)
    const [log] = yield* LogReader.read(kafka, topic)
    assert.strictEqual(log?.startOffset, log?.highWatermark)
  }).pipe(Effect.scoped)

/**
 * These kill the broker, so that they come last.
 *
 * A commit that was answered is given time for its marker. A broker that is alone and dies between
 * the two finds no leader for the partition when it is back, takes it for deleted, and completes
 * the transaction without a marker (seen on 4.4.0, `TransactionMarkerChannelManager`): its records
 * are then never visible, and the outcome stays unknown, which is the truth.
 */
const down = (it: It, driver: DriverAt): void => {
  it.effect.each(losses)(
    "when the broker dies with the $lost, it is asked again after its restart",
    (loss) =>
      Effect.gen(function*() {
        const bench = yield* makeBench(driver)
        const { proxy, topic, transactionalId, visible } = bench
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        yield* Effect.gen(function*() {
          const producer = yield* TransactionalProducer.make({
            ...bench.options,
            resolveTimeout: "40 seconds"
          })
          const rule = yield* proxy.inject(loss.rule(commitOf(transactionalId)))
          const crash = Effect.gen(function*() {
            yield* rule.fired
            yield* proxy.blackhole("both")
            if (loss.decided === "committed") yield* LogReader.readSettled(kafka, topic)
            yield* kafka.kill
            yield* kafka.start
            yield* proxy.heal
          })
          const [found] = yield* Effect.all([outcomeOf(producer, oneRecord(topic)), crash], {
            concurrency: 2
          })
          assertDecided(found, loss)
          assert.deepStrictEqual(yield* visible, shown(loss))
        }).pipe(Effect.scoped, Effect.provide(bench.driver))
      })
  )

  it.effect("what was unknown before a restart of the broker is answered after it", () =>
    Effect.gen(function*() {
      const bench = yield* makeBench(driver)
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* Effect.gen(function*() {
        const error = yield* unknownCommit(bench)
        yield* kafka.restart
        assert.deepInclude(yield* Transaction.resolve(error), { _tag: "Committed" })
        assert.deepStrictEqual(yield* bench.visible, ["ours"])
      }).pipe(Effect.scoped, Effect.provide(bench.driver))
    }))
}
