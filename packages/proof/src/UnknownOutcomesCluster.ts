/**
 * Commits whose answer is lost while one of three nodes is down: the one that decided, or the one
 * that holds the evidence. The outcome is known before that node is back.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import type { EmbeddedKafkaNode } from "@kafka-once/testing/EmbeddedKafkaNode"
import * as Effect from "effect/Effect"
import {
  assertDecided,
  commitOf,
  type Loss,
  losses,
  oneRecord,
  outcomeOf,
  shown
} from "./internal/lostCommit.ts"
import { type DriverAt, make as makeBench } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * Runs the suite over a driver, on a cluster of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, driver: DriverAt): void => {
  layer(ProxiedKafka.layer({ nodes: 3 }), { timeout: "3 minutes", excludeTestServices: true })(
    `unknown outcomes on three nodes, over ${name}`,
    (it) => {
      it.effect.each(cases)(
        "with the $role $how, a commit whose $lost is lost is known before it is back",
        (one) => decidedWithout(driver, one),
        120_000
      )
    }
  )
}

const faults = {
  killed: ({ kill }: EmbeddedKafkaNode) => kill,
  frozen: ({ freeze }: EmbeddedKafkaNode) => freeze
} as const

const heals = {
  killed: ({ start }: EmbeddedKafkaNode) => start,
  frozen: ({ thaw }: EmbeddedKafkaNode) => thaw
} as const

type Case = Loss & {
  readonly role: "transaction coordinator" | "leader of the partition"
  readonly how: keyof typeof faults
}

const cases: ReadonlyArray<Case> = losses.flatMap((loss) =>
  (["transaction coordinator", "leader of the partition"] as const).flatMap((role) =>
    (["killed", "frozen"] as const).map((how) => ({ ...loss, role, how }))
  )
)

/** A bench whose two roles are on two nodes, so that one of them can go alone. */
const makeApart = (driver: DriverAt) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const bench = yield* makeBench(driver)
    const coordinator = yield* kafka.transactionCoordinatorOf(bench.transactionalId)
    const leader = yield* kafka.leaderOf(bench.topic, 0)
    return { bench, coordinator, leader }
  }).pipe(
    Effect.repeat({ until: ({ coordinator, leader }) => coordinator.id !== leader.id, times: 20 }),
    Effect.tap(({ coordinator, leader }) =>
      Effect.sync(() => assert.notStrictEqual(coordinator.id, leader.id))
    )
  )

const decidedWithout = (driver: DriverAt, one: Case) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const { bench, coordinator, leader } = yield* makeApart(driver)
    const node = one.role === "transaction coordinator" ? coordinator : leader
    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({
        ...bench.options,
        // A failed node is missed after two seconds, and a controller may have to be elected first.
        resolveTimeout: "20 seconds"
      })
      const rule = yield* bench.proxy.inject(one.rule(commitOf(bench.transactionalId)))
      const [found] = yield* Effect.all([
        outcomeOf(producer, oneRecord(bench.topic)),
        Effect.andThen(rule.fired, faults[one.how](node))
      ], { concurrency: 2 })
      assertDecided(found, one)
      assert.strictEqual(yield* node.status, one.how === "killed" ? "stopped" : "frozen")
      yield* producer.withTransaction()(Effect.void)
    }).pipe(Effect.scoped, Effect.provide(bench.driver), Effect.ensuring(heal(one, node)))
    yield* kafka.awaitInSync
    assert.deepStrictEqual(yield* bench.visible, shown(one))
    yield* bench.assertNothingOpen
  })

/** Also after a failed test, for the next one needs all three; one that stays away is a defect. */
const heal = (one: Case, node: EmbeddedKafkaNode) => Effect.orDie(heals[one.how](node))
