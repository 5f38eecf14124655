/** The rights that docs/operations.md names are enough, and each is needed. */
import { assert, layer } from "@effect/vitest"
import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
import type { TransactionAdminError } from "@kafka-once/core/TransactionAdminError"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import * as Platformatic from "../src/Platformatic.ts"
import * as HangingTransaction from "./hangingTransaction.ts"

type Right = Omit<EmbeddedKafka.AccessRule, "principal">

interface Names {
  readonly topic: string
  readonly transactionalId: string
}

type Admin = TransactionAdmin.TransactionAdmin["Service"]

interface Operation {
  readonly name: string
  readonly rights: (names: Names) => ReadonlyArray<Right>
  readonly run: (admin: Admin, names: Names) => Effect.Effect<unknown, TransactionAdminError>
}

const readTopic = ({ topic }: Names): Right => ({
  operation: "Read",
  resourceType: "topic",
  resource: topic
})

const toBeSure = (names: Names): ReadonlyArray<Right> => [
  readTopic(names),
  { operation: "Describe", resourceType: "transactionalId", resource: "*" },
  { operation: "Describe", resourceType: "topic", resource: "__transaction_state" }
]

const cluster = (operation: string): Right => ({
  operation,
  resourceType: "cluster",
  resource: "kafka-cluster"
})

const ofId = (operation: string, { transactionalId }: Names): Right => ({
  operation,
  resourceType: "transactionalId",
  resource: transactionalId
})

const findIn = (olderThan?: number) => (admin: Admin, { topic }: Names) =>
  Effect.map(admin.findHanging({ topics: [topic], olderThan }), (found) => {
    assert.lengthOf(found, 1)
  })

const operations: ReadonlyArray<Operation> = [
  {
    name: "describe",
    rights: (names) => [ofId("Describe", names)],
    run: (admin, { transactionalId }) => admin.describe(transactionalId)
  },
  {
    name: "describeProducers",
    rights: (names) => [readTopic(names)],
    run: (admin, { topic }) => admin.describeProducers({ topic, partition: 0 })
  },
  { name: "findHanging with an age", rights: toBeSure, run: findIn(0) },
  {
    name: "findHanging without an age",
    rights: (names) => [...toBeSure(names), cluster("DescribeConfigs")],
    run: findIn()
  },
  {
    name: "abort",
    rights: (names) => [...toBeSure(names), cluster("Alter")],
    run: (admin, names) =>
      Effect.gen(function*() {
        const [state] = yield* admin.describeProducers({ topic: names.topic, partition: 0 })
        yield* admin.abort({ topic: names.topic, partition: 0, ...state! })
      })
  },
  {
    name: "abort by force",
    rights: ({ topic }) => [
      { operation: "Describe", resourceType: "topic", resource: topic },
      cluster("Alter")
    ],
    run: (admin, { topic }) =>
      admin.abort(
        { topic, partition: 0, producerId: 1_000_000n, epoch: 0, coordinatorEpoch: null },
        { force: true }
      )
  },
  {
    name: "fence",
    rights: (names) => [ofId("Write", names)],
    run: (admin, { transactionalId }) => admin.fence(transactionalId)
  }
]

// Whoever does not log in is this one.
const principal = "User:ANONYMOUS"

const broker = EmbeddedKafka.layer({
  authorizer: true,
  properties: HangingTransaction.withoutVerification
})

/** A topic with a transaction that hangs; the rights that this took are gone afterwards. */
const makeNames = Effect.gen(function*() {
  const kafka = yield* EmbeddedKafka.EmbeddedKafka
  const id = randomUUID().slice(0, 8)
  const names = { topic: `topic-${id}`, transactionalId: `id-${id}` }
  yield* kafka.createTopic(names.topic)
  const rules = [
    { operation: "Write", resourceType: "topic", resource: names.topic },
    { operation: "Write", resourceType: "transactionalId", resource: "*" },
    { operation: "IdempotentWrite", resourceType: "cluster", resource: "kafka-cluster" }
  ] as const
  for (const rule of rules) yield* kafka.addAccessRule({ ...rule, principal })
  const stray = yield* HangingTransaction.open(null)
  yield* stray.write(names.topic, 0, "stray", 3_600_000)
  yield* HangingTransaction.open(names.transactionalId)
  for (const rule of rules) yield* kafka.removeAccessRule({ ...rule, principal })
  return names
})

const driver = Layer.unwrap(
  Effect.map(
    EmbeddedKafka.EmbeddedKafka,
    ({ bootstrapServers }) => Platformatic.layer({ brokers: bootstrapServers })
  )
)

const named = ({ operation, resourceType }: Right) => `${operation} on the ${resourceType}`

layer(broker, { timeout: "3 minutes", excludeTestServices: true })(
  "rights of the admin of platformatic",
  (it) => {
    it.effect.each([...operations])(
      "$name needs what the document says, and no more",
      (operation) =>
        Effect.gen(function*() {
          const kafka = yield* EmbeddedKafka.EmbeddedKafka
          const names = yield* makeNames
          const rights = operation.rights(names).map((right) => ({ ...right, principal }))
          const run = Effect.gen(function*() {
            const admin = yield* TransactionAdmin.make({ timeout: "5 seconds" })
            yield* operation.run(admin, names)
          }).pipe(Effect.provide(driver))
          for (const right of rights) yield* kafka.addAccessRule(right)
          for (const right of rights) {
            yield* kafka.removeAccessRule(right)
            const failure = yield* Effect.flip(run)
            assert(failure._tag === "TransactionAdminError", `without ${named(right)}`)
            const { reason } = failure
            assert.strictEqual(reason._tag, "NotAuthorized", `without ${named(right)}`)
            assert.include(reason.message, right.operation === "Read" ? "topic" : right.operation)
            yield* kafka.addAccessRule(right)
          }
          yield* run
          for (const right of rights) yield* kafka.removeAccessRule(right)
        }),
      120_000
    )

    it.effect("a list leaves out what may not be described, without a word", () =>
      Effect.gen(function*() {
        const kafka = yield* EmbeddedKafka.EmbeddedKafka
        const seen = yield* makeNames
        const unseen = yield* makeNames
        const right = { ...ofId("Describe", seen), principal }
        yield* kafka.addAccessRule(right)
        const admin = yield* TransactionAdmin.make()
        const ids = (yield* admin.list()).map(({ transactionalId }) => transactionalId)
        assert.deepStrictEqual(ids, [seen.transactionalId])
        assert.notInclude(ids, unseen.transactionalId)
        yield* kafka.removeAccessRule(right)
      }).pipe(Effect.provide(driver)))
  }
)
