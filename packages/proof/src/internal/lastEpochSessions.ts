/**
 * Sessions at the last epoch of a producer id that are replaced by others, which are told whom they
 * replace, and so never take the transactional id from another instance.
 */
import { assert, type Vitest } from "@effect/vitest"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { batch, open, sendAll, sendOne, transact } from "../DriverSteps.ts"
import * as LogReader from "../LogReader.ts"
import type { DriverAt } from "../ProducerBench.ts"
import type * as ProxiedKafka from "../ProxiedKafka.ts"
import * as SpentEpochs from "./spentEpochs.ts"

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

/** Of a driver with `epochBump`. */
export const tests = (
  it: It,
  driver: DriverAt,
  { transactionVersion }: { readonly transactionVersion: 1 | 2 }
): void => {
  replaced(it, driver)
  if (transactionVersion === 2) replacedMeanwhile(it, driver)
}

const describe = ({ transactionalId }: SpentEpochs.Bench) =>
  Effect.flatMap(
    EmbeddedKafka.EmbeddedKafka,
    (kafka) => LogReader.describeTransaction(kafka, transactionalId)
  )

const awaitEnd = (bench: SpentEpochs.Bench) =>
  Effect.repeat(describe(bench), { until: ({ state }) => state.startsWith("Complete") })

const openAt = (
  { transactionalId }: SpentEpochs.Bench,
  options: Parameters<typeof open>[1] = {}
) => open(transactionalId, { requestTimeoutMillis: 1_000, ...options })

const replaced = (it: It, driver: DriverAt): void => {
  it.effect("a session follows one whose transaction at the last epoch was timed out", () =>
    SpentEpochs.over(driver, "timed-out", (bench) =>
      Effect.gen(function*() {
        const { session } = yield* openAt(bench, { transactionTimeoutMillis: 1_000 })
        yield* session.begin
        yield* sendOne(session, batch(bench.topic, 0, "slow"))
        yield* awaitEnd(bench)
        const resume = session.resumption?.() ?? null
        assert(resume !== null)
        const next = yield* openAt(bench, { resume })
        assert.notStrictEqual(next.identity.producerId, resume.producerId)
        yield* transact(next.session, [batch(bench.topic, 0, "next")], "commit")
        assert.deepStrictEqual(yield* bench.visible, ["next"])
      })))

  it.effect("and one at the last epoch, when the answer with the new producer id is lost", () =>
    SpentEpochs.over(driver, "initialised-without-an-answer", (bench) =>
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

/** So many that their markers take longer than the question who has the transactional id. */
const markers = 50

const ids = [
  "markers-on-their-way-1",
  "markers-on-their-way-2",
  "markers-on-their-way-3"
] as const

/**
 * While markers are written the coordinator tells of the epoch after the last one, and of a new
 * producer id afterwards. InitProducerId, which comes of what it has told, is held until then.
 */
const replacedMeanwhile = (it: It, driver: DriverAt): void => {
  const followed = (id: SpentEpochs.Id) =>
    Effect.gen(function*() {
      let questions = 0
      yield* SpentEpochs.over(driver, id, (bench) =>
        Effect.gen(function*() {
          const { proxy, topic, transactionalId } = bench
          const kafka = yield* EmbeddedKafka.EmbeddedKafka
          const wide = `${topic}-wide`
          yield* kafka.createTopic(wide, { partitions: markers })
          const { session } = yield* openAt(bench)
          yield* session.begin
          const batches = Array.from(
            { length: markers },
            (_, partition) => batch(wide, partition, "one")
          )
          for (const sent of yield* sendAll(session, batches)) yield* Effect.fromResult(sent)
          const resume = session.resumption?.() ?? null
          assert(resume !== null)
          const held = yield* proxy.inject(
            FaultProxyRule.hold({ api: "InitProducerId", transactionalId, nth: 1 }, id)
          )
          const from = yield* proxy.log.position
          yield* session.end("commit")
          const opening = yield* Effect.forkChild(openAt(bench, { resume }))
          yield* held.fired
          const requests = yield* proxy.log.entries
          questions = requests.filter(({ api, position }) =>
            position >= from && api === "DescribeTransactions"
          ).length
          yield* awaitEnd(bench)
          yield* proxy.release(id)
          const next = yield* Fiber.join(opening)
          assert.notStrictEqual(next.identity.producerId, resume.producerId)
          yield* transact(next.session, [batch(topic, 0, "next")], "commit")
          assert.deepStrictEqual(yield* bench.visible, ["next"])
        }))
      return questions
    })

  it.effect("and one whose commit at the last epoch has its markers written just then", () =>
    Effect.gen(function*() {
      const questions = yield* Effect.forEach(ids, followed)
      // A pause of this process may be longer than the markers take, but not three times.
      assert.isAbove(Math.max(...questions), 1, "asked before the markers were there")
    }))
}
