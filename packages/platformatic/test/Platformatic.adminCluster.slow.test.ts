/** The admin on three nodes: all of them are asked, and one that is away is not passed over. */
import { assert, layer } from "@effect/vitest"
import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import * as Platformatic from "../src/Platformatic.ts"
import * as HangingTransaction from "./hangingTransaction.ts"

const cluster = (properties: Readonly<Record<string, string>>) =>
  EmbeddedKafka.layer({
    nodes: 3,
    properties: { ...HangingTransaction.withoutVerification, ...properties }
  })

/** One that does not answer stays a part of the cluster for the time of a test. */
const patient = cluster({ "broker.session.timeout.ms": "60000" })

const driver = Layer.unwrap(
  Effect.map(
    EmbeddedKafka.EmbeddedKafka,
    ({ bootstrapServers }) =>
      Platformatic.layer({ brokers: bootstrapServers, requestTimeout: "500 millis" })
  )
)

/** Ids that have been used, with the node that coordinates each. */
const makeIds = Effect.fnUntraced(function*(prefix: string) {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  return yield* Effect.forEach(
    Array.from({ length: 12 }, (_, index) => `${prefix}-${String(index).padStart(2, "0")}`),
    (id) =>
      Effect.gen(function*() {
        yield* Effect.scoped(HangingTransaction.open(id))
        return { id, node: yield* kafka.transactionCoordinatorOf(id) }
      })
  )
})

const idsOf = (
  transactions: ReadonlyArray<{ readonly transactionalId: string }>,
  prefix: string
) => transactions.map((one) => one.transactionalId).filter((id) => id.startsWith(prefix))

layer(patient, { timeout: "3 minutes", excludeTestServices: true })(
  "the admin of platformatic, one of three nodes silent",
  (it) => {
    it.effect("what any node coordinates is listed; without one of them it is Incomplete", () =>
      Effect.gen(function*() {
        const prefix = randomUUID().slice(0, 8)
        const ids = yield* makeIds(prefix)
        const silent = ids[0]!.node
        assert.isAbove(new Set(ids.map(({ node }) => node.id)).size, 1, "one node has all")
        const admin = yield* TransactionAdmin.make({ timeout: "3 seconds" })
        assert.deepStrictEqual(idsOf(yield* admin.list(), prefix), ids.map(({ id }) => id))

        const failure = yield* Effect.acquireUseRelease(
          silent.freeze,
          () => Effect.flip(admin.list()),
          () => silent.thaw
        )
        assert(failure.reason._tag === "Incomplete", failure.message)
        assert.deepStrictEqual(
          failure.reason.missing.map(({ what }) => what),
          [`broker ${silent.id}`]
        )
        assert.deepStrictEqual(
          idsOf(failure.reason.transactions, prefix),
          ids.filter(({ node }) => node.id !== silent.id).map(({ id }) => id)
        )
        assert.lengthOf(idsOf(yield* admin.list(), prefix), ids.length)
      }).pipe(Effect.provide(driver)))

    it.effect("nothing is said to hang, and nothing aborted, while a node cannot be asked", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        const topic = `topic-${randomUUID().slice(0, 8)}`
        yield* kafka.createTopic(topic)
        const leader = yield* kafka.leaderOf(topic, 0)
        const { startOffset } = yield* HangingTransaction.leave(`id-of-${topic}`, topic, 0)
        const admin = yield* TransactionAdmin.make({ timeout: "4 seconds" })
        const find = admin.findHanging({ topics: [topic], olderThan: 0 })
        const [hanging] = yield* find
        const silent = kafka.nodes.find(({ id }) => id !== leader.id)!
        yield* Effect.acquireUseRelease(
          silent.freeze,
          () =>
            Effect.gen(function*() {
              for (const operation of [find, admin.abort(hanging!)]) {
                const { reason } = yield* Effect.flip(Effect.asVoid(operation))
                assert.strictEqual(reason._tag, "Incomplete", reason.message)
              }
            }),
          () => silent.thaw
        )
        const [state] = yield* admin.describeProducers({ topic, partition: 0 })
        assert.strictEqual(state?.startOffset, startOffset)
      }).pipe(Effect.scoped, Effect.provide(driver)))
  }
)

layer(cluster({}), { timeout: "3 minutes", excludeTestServices: true })(
  "the admin of platformatic on three nodes",
  (it) => {
    it.effect("coordinators and leaders that move are followed", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        const topic = `topic-${randomUUID().slice(0, 8)}`
        const transactionalId = `id-of-${topic}`
        yield* kafka.createTopic(topic, { partitions: 3 })
        yield* HangingTransaction.leave(transactionalId, topic, 0)
        const admin = yield* TransactionAdmin.make()
        // All of it is known, and becomes wrong.
        const [hanging] = yield* admin.findHanging({ topics: [topic], olderThan: 0 })
        const before = yield* admin.describe(transactionalId)
        const coordinator = yield* kafka.transactionCoordinatorOf(transactionalId)
        yield* coordinator.stop
        assert.deepStrictEqual(yield* admin.describe(transactionalId), before)
        assert.deepStrictEqual(
          yield* admin.findHanging({ topics: [topic], olderThan: 0 }),
          [hanging!]
        )
        yield* coordinator.start
        yield* kafka.awaitInSync
        const leader = yield* kafka.leaderOf(topic, 0)
        yield* leader.stop
        yield* admin.abort(hanging!)
        yield* leader.start
        yield* kafka.awaitInSync
        const next = yield* admin.fence(transactionalId)
        assert.isAbove(next.epoch, before.epoch)
        assert.isEmpty(yield* admin.findHanging({ topics: [topic], olderThan: 0 }))
      }).pipe(Effect.scoped, Effect.provide(driver)), 120_000)
  }
)
