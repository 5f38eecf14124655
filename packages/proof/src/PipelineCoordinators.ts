/**
 * The coordinators of a pipeline move while it runs: those of its group and of its transactions are
 * stopped, on a cluster of three nodes, and come back.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import type { Capabilities } from "@kafka-once/core/KafkaDriver"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as ConsumerBench from "./ConsumerBench.ts"
import * as PipelineBench from "./PipelineBench.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * What is run.
 *
 * **Details**
 *
 * *Shape*: `groupProtocol` is `"classic"` where it is left out. In the consumer protocol the
 * coordinator of the group moves alone: the other one has no part in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly driver: DriverAt
  readonly capabilities: Capabilities
  readonly groupProtocol?: GroupProtocolName
}

/**
 * Runs the suite over a driver, on a cluster of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, options: Options): void => {
  const { groupProtocol = "classic" } = options
  layer(ConsumerBench.layer({ nodes: 3 }), { timeout: "3 minutes", excludeTestServices: true })(
    `a pipeline whose coordinators move, in ${groupProtocol} groups, over ${name}`,
    (it) => {
      it.effect.each(
        moved.filter(({ coordinator }) => groupProtocol === "classic" || coordinator === "group")
      )(
        "the node of the $coordinator coordinator is gone ($how) and comes back: nothing is lost " +
          "or doubled",
        ({ coordinator, how }) =>
          Effect.flatMap(
            ProxiedKafka.Proxy,
            ({ addresses }) =>
              moves(options, coordinator, how).pipe(
                Effect.scoped,
                Effect.provide(options.driver(addresses))
              )
          ),
        180_000
      )
    }
  )
}

const moved = [
  { coordinator: "group", how: "stop" },
  { coordinator: "group", how: "kill" },
  { coordinator: "transaction", how: "stop" },
  { coordinator: "transaction", how: "kill" }
] as const

const moves = (
  options: Options,
  coordinator: "group" | "transaction",
  how: "stop" | "kill"
) =>
  Effect.gen(function*() {
    const bench = yield* PipelineBench.make(options)
    const { groupId, input, kafka } = bench
    let committed = 0
    for (const instanceId of ["one", "two"]) {
      yield* PipelineBench.startMember(bench, {
        settings: { instanceId, batch: { records: 5 } },
        // So that there is work left when the node is gone.
        polled: () => Effect.sleep("50 millis"),
        told: (_, outcome, records) => {
          if (outcome === "Committed") committed += records
        }
      })
    }
    yield* bench.write(perPartition)
    yield* awaitCommitted(() => committed >= 20)
    const coordinatorNow = coordinator === "group"
      ? kafka.groupCoordinatorOf(groupId)
      : kafka.transactionCoordinatorOf(
        options.capabilities.groupFencing
          ? `kafka-once.${groupId}.one.0`
          : `kafka-once.${groupId}.${input}.0`
      )
    const node = yield* coordinatorNow
    yield* node[how]
    const before = committed
    assert.isBelow(before, 4 * perPartition, "work that was left when the node was gone")
    const from = yield* Clock.currentTimeMillis
    yield* awaitCommitted(() => committed > before)
    const millis = (yield* Clock.currentTimeMillis) - from
    yield* bench.awaitDone
    assert.notStrictEqual((yield* coordinatorNow).id, node.id)
    yield* node.start
    yield* kafka.awaitInSync
    yield* bench.write(10)
    yield* bench.awaitDone
    yield* bench.assertExact
    yield* Effect.log(
      `${how} of the ${coordinator} coordinator: ${before} records before it, then the next ` +
        `commit within ${millis} ms`
    )
  })

const perPartition = 300

const awaitCommitted = (fits: () => boolean) =>
  Effect.sync(fits).pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("10 millis"), times: 6_000 }),
    Effect.map((is) => assert.isTrue(is, "commits within a minute"))
  )
