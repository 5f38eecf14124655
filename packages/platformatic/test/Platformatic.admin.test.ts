/** What operators do about transactions, on a broker on which transactions can hang. */
import { assert, layer } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
import type { TransactionAdminError } from "@kafka-once/core/TransactionAdminError"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as LogReader from "@kafka-once/proof/LogReader"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as Platformatic from "../src/Platformatic.ts"
import * as HangingTransaction from "./hangingTransaction.ts"

const hour = 3_600_000

/** An admin through the proxy, and a topic of two partitions. */
const makeBench = Effect.fnUntraced(function*(options?: TransactionAdmin.Options) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const proxy = yield* ProxiedKafka.Proxy
  const id = randomUUID().slice(0, 8)
  const topic = `topic-${id}`
  yield* kafka.createTopic(topic, { partitions: 2 })
  const admin = yield* TransactionAdmin.make(options)
  return { admin, kafka, proxy, topic, transactionalId: `id-${id}` }
})

type Bench = Effect.Success<ReturnType<typeof makeBench>>

const onBench = <E>(
  test: (
    bench: Bench
  ) => Effect.Effect<void, E, EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy | Scope.Scope>,
  options?: TransactionAdmin.Options
) =>
  Effect.gen(function*() {
    const proxy = yield* ProxiedKafka.Proxy
    const driver = Platformatic.layer({ brokers: proxy.addresses, requestTimeout: "1 second" })
    yield* makeBench(options).pipe(Effect.flatMap(test), Effect.provide(driver))
  }).pipe(Effect.scoped)

const reasonOf = <A, R>(operation: Effect.Effect<A, TransactionAdminError, R>) =>
  Effect.map(Effect.flip(operation), ({ reason }) => reason)

const stillOpen = ({ admin, topic }: Bench, partition = 0) =>
  Effect.map(
    admin.describeProducers({ topic, partition }),
    (producers) => producers.flatMap(({ startOffset }) => startOffset ?? [])
  )

const suite = ProxiedKafka.layer({ properties: HangingTransaction.withoutVerification })

layer(suite, { timeout: "3 minutes", excludeTestServices: true })(
  "the admin of platformatic",
  (it) => {
    it.effect("an open transaction is listed, described, and seen in its partition", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, topic, transactionalId } = bench
          const before = yield* Clock.currentTimeMillis
          const producer = yield* HangingTransaction.open(transactionalId)
          const { producerEpoch: epoch, producerId } = producer
          yield* producer.addPartition(topic, 1)
          const startOffset = yield* producer.write(topic, 1, "open")
          const listing = { transactionalId, producerId, state: "Ongoing" }

          assert.deepInclude(yield* admin.list(), listing)
          const { startedAtMillis, ...description } = yield* admin.describe(transactionalId)
          assert.deepStrictEqual(description, {
            ...listing,
            epoch,
            timeoutMillis: 60_000,
            partitions: [{ topic, partition: 1 }]
          })
          assert.isAtLeast(startedAtMillis ?? 0, before)
          const [state, ...others] = yield* admin.describeProducers({ topic, partition: 1 })
          assert.deepInclude(state, { producerId, epoch, startOffset, coordinatorEpoch: null })
          assert.isEmpty(others)
          assert.isEmpty(yield* admin.describeProducers({ topic, partition: 0 }))

          yield* producer.end(true)
          yield* producer.awaitMarkers
          const ended = yield* admin.describe(transactionalId)
          assert.deepInclude(ended, { state: "CompleteCommit", partitions: [] })
          assert.isNull(ended.startedAtMillis)
          assert.isEmpty(yield* stillOpen(bench, 1))
        })
      ))

    it.effect("a list holds what passes its filter, and nothing else", () =>
      onBench(({ admin, topic, transactionalId }) =>
        Effect.gen(function*() {
          const idle = yield* HangingTransaction.open(`${transactionalId}-idle`)
          const busy = yield* HangingTransaction.open(`${transactionalId}-busy`)
          yield* busy.addPartition(topic, 0)
          const ours = (filter: Parameters<typeof admin.list>[0]) =>
            Effect.map(admin.list(filter), (all) =>
              all.map((one) =>
                one.transactionalId
              ).filter((id) => id.startsWith(transactionalId)))
          const [one, other] = [`${transactionalId}-busy`, `${transactionalId}-idle`]
          assert.deepStrictEqual(yield* ours({}), [one, other])
          assert.deepStrictEqual(yield* ours({ states: ["Ongoing"] }), [one])
          assert.deepStrictEqual(yield* ours({ states: ["Empty", "Ongoing"] }), [one, other])
          assert.deepStrictEqual(yield* ours({ producerIds: [idle.producerId] }), [other])
          assert.deepStrictEqual(yield* ours({ pattern: `${transactionalId}.*le` }), [other])
          assert.deepStrictEqual(yield* ours({ openLongerThan: 0 }), [one])
          assert.deepStrictEqual(yield* ours({ openLongerThan: hour }), [])
          const refusal = yield* reasonOf(admin.list({ pattern: "(" }))
          assert.include(refusal.message, "INVALID_REGULAR_EXPRESSION")
        })
      ))

    it.effect("what hangs is found, and nothing else; aborted, readers go on", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, kafka, topic, transactionalId } = bench
          const old = yield* HangingTransaction.leave(`${transactionalId}-old`, topic, 0, hour)
          const young = yield* HangingTransaction.leave(`${transactionalId}-young`, topic, 1)
          // Nobody knows this producer id.
          const stray = yield* HangingTransaction.open(null)
          const strayOffset = yield* stray.write(topic, 0, "stray", hour)
          // In good order, however old its records say that it is.
          const alive = yield* HangingTransaction.open(`${transactionalId}-alive`)
          yield* alive.addPartition(topic, 0)
          yield* alive.write(topic, 0, "alive", hour)

          const found = yield* admin.findHanging({ topics: [topic] })
          assert.deepStrictEqual(
            found.map(({ partition, producerId, startOffset, transactionalId }) => ({
              partition,
              producerId,
              startOffset,
              transactionalId
            })).sort((a, b) => Number(a.startOffset - b.startOffset)),
            [
              {
                partition: 0,
                producerId: old.producer.producerId,
                startOffset: old.startOffset,
                transactionalId: `${transactionalId}-old`
              },
              {
                partition: 0,
                producerId: stray.producerId,
                startOffset: strayOffset,
                transactionalId: null
              }
            ]
          )
          const all = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
          assert.sameMembers(
            all.map(({ producerId }) => producerId),
            [old.producer.producerId, stray.producerId, young.producer.producerId]
          )

          yield* Effect.forEach(all, (one) => admin.abort(one))
          yield* alive.end(true)
          assert.deepStrictEqual(
            yield* LogReader.visibleValues(kafka, topic),
            ["alive", "in time", "in time"]
          )
          assert.isEmpty(yield* admin.findHanging({ topics: [topic], olderThan: 0 }))
        })
      ))

    it.effect("a search of all topics finds it, too", () =>
      onBench(({ admin, topic, transactionalId }) =>
        Effect.gen(function*() {
          const { startOffset } = yield* HangingTransaction.leave(transactionalId, topic, 1, hour)
          const found = (yield* admin.findHanging()).filter((one) => one.topic === topic)
          assert.lengthOf(found, 1)
          assert.deepInclude(found[0], { topic, partition: 1, startOffset })
          yield* admin.abort(found[0]!)
        })
      ))

    it.effect("a transaction in good order is not aborted, unless it is forced", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, topic, transactionalId } = bench
          const producer = yield* HangingTransaction.open(transactionalId)
          yield* producer.addPartition(topic, 0)
          yield* producer.write(topic, 0, "open", hour)
          const [state] = yield* admin.describeProducers({ topic, partition: 0 })
          const target = { topic, partition: 0, ...state! }

          const refusal = yield* reasonOf(admin.abort(target))
          assert.strictEqual(refusal._tag, "NotHanging")
          assert.include(refusal.message, `fence "${transactionalId}"`)
          assert.lengthOf(yield* stillOpen(bench), 1)

          yield* admin.abort(target, { force: true })
          assert.isEmpty(yield* stillOpen(bench))
          yield* producer.end(false)
        })
      ))

    it.effect("what has ended, or is another transaction by now, is not aborted", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, topic, transactionalId } = bench
          // So that there is an epoch before the next.
          yield* HangingTransaction.open(transactionalId)
          const { producer } = yield* HangingTransaction.leave(transactionalId, topic, 0)
          const [hanging] = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
          yield* admin.abort(hanging!)
          assert.strictEqual((yield* reasonOf(admin.abort(hanging!)))._tag, "NotOpen")
          yield* producer.write(topic, 0, "late again")
          assert.strictEqual((yield* reasonOf(admin.abort(hanging!)))._tag, "NotOpen")
          assert.lengthOf(yield* stillOpen(bench), 1)
          const [next] = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
          const outdated = { ...next!, epoch: next!.epoch - 1 }
          assert.strictEqual(
            (yield* reasonOf(admin.abort(outdated, { force: true })))._tag,
            "Outdated"
          )
          yield* admin.abort(next!)
        })
      ))

    it.effect("an abort whose answer is lost is not repeated", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, kafka, proxy, topic, transactionalId } = bench
          yield* HangingTransaction.leave(transactionalId, topic, 0)
          const [hanging] = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
          yield* admin.abort(hanging!).pipe(
            proxy.withRule(FaultProxyRule.dropResponse({ api: "WriteTxnMarkers", nth: 1 }))
          )
          const [log] = yield* LogReader.readSettled(kafka, topic)
          const markers = log!.batches.filter(({ control }) => control === "abort")
          assert.lengthOf(markers, 1)
        })
      ))

    it.effect("an abort that was not received is sent again", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, proxy, topic, transactionalId } = bench
          yield* HangingTransaction.leave(transactionalId, topic, 0)
          const [hanging] = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
          yield* admin.abort(hanging!).pipe(
            proxy.withRule(FaultProxyRule.dropRequest({ api: "WriteTxnMarkers", nth: 1 }))
          )
          assert.isEmpty(yield* stillOpen(bench))
        })
      ))

    it.effect("a fence ends the open transaction, and its producer is ProducerFenced", () =>
      onBench((bench) =>
        Effect.gen(function*() {
          const { admin, kafka, topic, transactionalId } = bench
          const driver = Platformatic.layer({ brokers: kafka.bootstrapServers })
          yield* Effect.gen(function*() {
            const producer = yield* TransactionalProducer.make({ transactionalId })
            const send = Transaction.send([{ topic, partition: 0, value: "never seen" }])
            const failure = yield* send.pipe(
              Effect.andThen(admin.fence(transactionalId)),
              Effect.tap((identity) =>
                Effect.map(
                  admin.describe(transactionalId),
                  (now) => assert.deepInclude(now, { ...identity, state: "Empty" })
                )
              ),
              producer.withTransaction(),
              Effect.flip
            )
            assert.strictEqual(failure.reason._tag, "ProducerFenced", failure.message)
            const next = yield* Effect.flip(producer.withTransaction(send))
            assert.strictEqual(next.reason._tag, "ProducerFenced")
          }).pipe(Effect.scoped, Effect.provide(driver))
          assert.isEmpty(yield* LogReader.visibleValues(kafka, topic))
        })
      ))

    it.effect("an id or a topic that nobody knows is told at once, and none is made", () =>
      onBench(({ admin, topic, transactionalId }) =>
        Effect.gen(function*() {
          for (const operation of [admin.describe(transactionalId), admin.fence(transactionalId)]) {
            assert.deepInclude(yield* reasonOf(operation), {
              _tag: "UnknownTransactionalId",
              transactionalId
            })
          }
          assert.isEmpty(yield* admin.list({ pattern: transactionalId }))
          const unknown = { topic: `${topic}-not`, partition: 0 }
          const nobody = { ...unknown, producerId: 1n, epoch: 0, coordinatorEpoch: null }
          for (
            const operation of [
              admin.describeProducers(unknown),
              admin.describeProducers({ topic, partition: 7 }),
              admin.findHanging({ topics: [unknown.topic] }),
              admin.abort(nobody),
              admin.abort(nobody, { force: true })
            ]
          ) {
            assert.strictEqual((yield* reasonOf<unknown, never>(operation))._tag, "UnknownTopic")
          }
        })
      ))

    const refusals = [
      ["ListTransactions", "COORDINATOR_LOAD_IN_PROGRESS"],
      ["DescribeTransactions", "NOT_COORDINATOR"],
      ["FindCoordinator", "COORDINATOR_NOT_AVAILABLE"],
      ["InitProducerId", "CONCURRENT_TRANSACTIONS"],
      ["InitProducerId", "NOT_COORDINATOR"],
      ["DescribeProducers", "NOT_LEADER_OR_FOLLOWER"],
      ["WriteTxnMarkers", "NOT_LEADER_OR_FOLLOWER"]
    ] as const

    it.effect.each(refusals)(
      "%s is asked again after %s",
      ([api, code]) =>
        onBench(({ admin, proxy, topic, transactionalId }) =>
          Effect.gen(function*() {
            yield* HangingTransaction.leave(transactionalId, topic, 0)
            yield* Effect.gen(function*() {
              const [hanging] = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
              yield* admin.abort(hanging!)
              yield* admin.fence(transactionalId)
            }).pipe(proxy.withRule(FaultProxyRule.error({ api, nth: 1 }, code)))
          })
        )
    )

    it.effect("a code that nobody knows is told as it is: DescribeConfigs", () =>
      onBench(({ admin, proxy, topic }) =>
        Effect.gen(function*() {
          const reason = yield* reasonOf(admin.findHanging({ topics: [topic] })).pipe(
            proxy.withRule(FaultProxyRule.error({ api: "DescribeConfigs" }, 999))
          )
          assert(reason._tag === "Refused")
          assert.strictEqual(reason.request, "DescribeConfigs")
          assert.include(reason.problem, "999")
        })
      ))

    it.effect("where nobody answers every operation ends in time, and says who did not", () =>
      onBench(({ admin, proxy, topic, transactionalId }) =>
        Effect.gen(function*() {
          const target = { topic, partition: 0, producerId: 1n, epoch: 0, coordinatorEpoch: 0 }
          const operations = [
            admin.list(),
            admin.describe(transactionalId),
            admin.describeProducers(target),
            admin.findHanging(),
            admin.abort(target),
            admin.abort(target, { force: true }),
            admin.fence(transactionalId)
          ]
          const before = yield* Clock.currentTimeMillis
          const reasons = yield* Effect.forEach(
            operations,
            (operation) => reasonOf<unknown, never>(operation),
            { concurrency: "unbounded" }
          ).pipe(proxy.withRule(FaultProxyRule.dropRequest({})))
          assert.isBelow((yield* Clock.currentTimeMillis) - before, 6_000)
          for (const { _tag } of reasons) assert.strictEqual(_tag, "NotInTime")
        }), { timeout: "3 seconds" }))
  }
)
