/**
 * What a producer with lanes promises, as a part of the producer's contract.
 */
import { assert, type Vitest } from "@effect/vitest"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as LogReader from "../LogReader.ts"
import * as PartitionLog from "../PartitionLog.ts"
import { type Bench, type DriverAt, make as makeBench, reasonOf, send } from "../ProducerBench.ts"
import type * as ProxiedKafka from "../ProxiedKafka.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka | ProxiedKafka.Proxy>

type Producer = TransactionalProducer.TransactionalProducer["Service"]

interface LanesBench extends Bench {
  readonly options: ProducerOptions
  /** What a reader under read_committed sees, in the order of the log. */
  readonly seen: Effect.Effect<ReadonlyArray<string>, unknown>
}

const withLanes = <E, R>(
  driver: DriverAt,
  test: (bench: LanesBench, producer: Producer) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka
    const bench = yield* makeBench(driver)
    const options = { ...bench.options, lanes: 2 }
    const seen = Effect.map(
      LogReader.readSettled(kafka, bench.topic),
      (logs) => logs.flatMap(PartitionLog.visible).map(PartitionLog.textOf)
    )
    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make(options)
      yield* test({ ...bench, options, seen }, producer)
    }).pipe(Effect.scoped, Effect.provide(bench.driver))
  })

const pay = (producer: Producer, topic: string, value: string) =>
  send(topic, value).pipe(producer.withTransaction())

/** The transactional ids of the requests of an api, as they went over the wire. */
const idsOf = ({ proxy, transactionalId }: Bench, api: string) =>
  Effect.map(
    proxy.log.entries,
    (entries) =>
      entries.filter((entry) =>
        entry.api === api && entry.transactionalId?.startsWith(transactionalId) === true
      ).map((entry) => entry.transactionalId ?? "")
  )

const without = (ids: ReadonlyArray<string>, prefix: string) =>
  ids.map((id) => id.slice(prefix.length))

/**
 * Adds the tests of lanes to a contract.
 */
export const lanes = (it: It, driver: DriverAt): void => {
  it.effect("lanes: records are in the order of the transactions, aborted ones left out", () =>
    withLanes(driver, (bench, producer) =>
      Effect.gen(function*() {
        const { topic, transactionalId, seen } = bench
        const values = Array.from({ length: 30 }, (_, index) => `${index}`)
        for (const value of values) {
          yield* pay(producer, topic, value)
          if (Number(value) % 4 === 0) {
            yield* send(topic, `aborted ${value}`).pipe(
              Effect.andThen(Effect.fail("mine")),
              producer.withTransaction(),
              Effect.exit
            )
          }
        }
        assert.deepStrictEqual(yield* seen, values)
        const ended = without(yield* idsOf(bench, "EndTxn"), transactionalId)
        assert.lengthOf(ended, 38)
        for (const [index, suffix] of ended.entries()) {
          assert.strictEqual(suffix, index % 2 === 0 ? "" : "-lane-1")
        }
      })))

  it.effect.each([0, 1])(
    "lanes: a second instance fences both lanes, whichever is the first one's next: %d",
    (before) =>
      withLanes(driver, ({ options, topic, seen }, older) =>
        Effect.gen(function*() {
          const values = Array.from({ length: before }, (_, index) => `older ${index}`)
          for (const value of values) yield* pay(older, topic, value)
          const newer = yield* TransactionalProducer.make(options)
          for (let turn = 0; turn < 2; turn++) {
            const exit = yield* Effect.exit(pay(older, topic, "too late"))
            assert.strictEqual(reasonOf(exit), "ProducerFenced")
          }
          yield* pay(newer, topic, "newer")
          yield* pay(newer, topic, "newer still")
          assert.deepStrictEqual(yield* seen, [...values, "newer", "newer still"])
        }))
  )

  it.effect("lanes: a start ends what was left open in the second lane", () =>
    withLanes(
      driver,
      ({ assertNothingOpen, options, topic, seen }, older) =>
        Effect.gen(function*() {
          yield* pay(older, topic, "one")
          const sent = yield* Deferred.make<void>()
          const left = yield* Effect.forkScoped(
            send(topic, "left open").pipe(
              Effect.andThen(Deferred.succeed(sent, undefined)),
              Effect.andThen(Effect.never),
              older.withTransaction()
            )
          )
          yield* Deferred.await(sent)
          const newer = yield* TransactionalProducer.make(options)
          yield* pay(newer, topic, "two")
          yield* assertNothingOpen
          assert.deepStrictEqual(yield* seen, ["one", "two"])
          yield* Fiber.interrupt(left)
        }).pipe(Effect.scoped)
    ))

  it.effect("lanes: a lost answer to a commit replaces one session, not the other", () =>
    withLanes(driver, (bench, producer) =>
      Effect.gen(function*() {
        const { proxy, topic, transactionalId, seen } = bench
        const lost = FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, transactionalId })
        yield* pay(producer, topic, "one").pipe(proxy.withRule(lost))
        yield* pay(producer, topic, "two")
        yield* pay(producer, topic, "three")
        assert.deepStrictEqual(yield* seen, ["one", "two", "three"])
        const initialised = without(yield* idsOf(bench, "InitProducerId"), transactionalId)
        assert.deepStrictEqual(initialised, ["", "-lane-1", ""])
      })))
}
