/**
 * Five members of one pipeline that join and leave all the time: work goes on, every input is in
 * the output once, and no history has an anomaly.
 *
 * @since 0.1.0
 */
import { assert, layer } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ConsumerBench from "./ConsumerBench.ts"
import * as Random from "./internal/random.ts"
import * as PipelineBench from "./PipelineBench.ts"
import { memberOf } from "./PipelineProgram.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * How long and which storm.
 *
 * **Details**
 *
 * *Units and bounds*: `seconds` is a multiple of 10. `seed` draws how long each member stays, and
 * how long it is away: 1 to 3 seconds.
 *
 * *Shape*: `kinds` of members, a storm for each. Static members, which need a driver with
 * `staticMembership`, are back before the group has missed them, so that no partition moves: their
 * storm is one of restarts. `groupProtocol` is `"classic"` where it is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly driver: DriverAt
  readonly kinds: ReadonlyArray<"dynamic" | "static">
  readonly groupProtocol?: GroupProtocolName
  readonly seconds: number
  readonly seed: number
}

const members = 5
const partitions = 6
const windowMillis = 10_000

/**
 * Runs the storm over a driver, on a broker of its own.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (name: string, options: Options): void => {
  const { groupProtocol = "classic", kinds, seconds, seed } = options
  layer(ConsumerBench.layer(), { timeout: "3 minutes", excludeTestServices: true })(
    `a storm of rebalances in ${groupProtocol} groups, over ${name} (seed ${seed})`,
    (it) => {
      it.effect.each(kinds.map((kind) => ({ kind })))(
        `${members} $kind members join and leave for ${seconds} s: work goes on, and nothing is ` +
          "lost or doubled",
        ({ kind }) => Effect.scoped(storm(options, kind === "static")),
        seconds * 1_000 + 120_000
      )
    }
  )
}

const storm = (options: Options, isStatic: boolean) =>
  Effect.flatMap(
    ProxiedKafka.Proxy,
    ({ addresses }) => Effect.provide(stormOf(options, isStatic), options.driver(addresses))
  )

const stormOf = (
  { driver, groupProtocol = "classic", seconds, seed }: Options,
  isStatic: boolean
) =>
  Effect.gen(function*() {
    const consumer = memberOf(groupProtocol)
    const bench = yield* PipelineBench.make({ driver, partitions })
    const over = yield* Deferred.make<void>()
    const from = yield* Clock.currentTimeMillis
    const windows = Array.from({ length: seconds * 1_000 / windowMillis }, () => 0)
    let joins = 0
    let movements = 0
    const member = (place: number) =>
      Effect.gen(function*() {
        const random = Random.make(seed * 100 + place)
        const name = `storm-${place}`
        const pause = (): Effect.Effect<void> =>
          Effect.raceFirst(Effect.sleep(random.int(1_000, 3_000)), Deferred.await(over))
        while (!(yield* Deferred.isDone(over))) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { failed } = yield* PipelineBench.startMember(bench, {
              settings: isStatic
                ? { instanceId: name, consumer: { ...consumer, groupInstanceId: name } }
                : { consumer },
              heard: ({ _tag }) => {
                if (_tag === "Revoked" || _tag === "Lost") movements += 1
              },
              told: (_, outcome, records) => {
                const window = Math.floor((performance.now() - startedAt) / windowMillis)
                if (outcome === "Committed" && window < windows.length) {
                  windows[window]! += records
                }
              }
            })
            joins += 1
            yield* Effect.raceFirst(failed, pause())
          }))
          yield* pause()
        }
      })
    const startedAt = performance.now()
    const writer = Effect.gen(function*() {
      while (!(yield* Deferred.isDone(over))) {
        yield* bench.write(5)
        yield* Effect.sleep("100 millis")
      }
    })
    const all = yield* Effect.all(
      [writer, ...Array.from({ length: members }, (_, place) => member(place))],
      { concurrency: "unbounded", discard: true }
    ).pipe(Effect.forkScoped)
    yield* Effect.raceFirst(Effect.sleep(seconds * 1_000), Fiber.join(all))
    yield* Deferred.succeed(over, undefined)
    yield* Fiber.join(all)
    const calmFrom = yield* Clock.currentTimeMillis
    yield* Effect.scoped(Effect.andThen(
      PipelineBench.startMember(bench, { settings: { consumer } }),
      bench.awaitDone
    ))
    const calmMillis = (yield* Clock.currentTimeMillis) - calmFrom
    yield* bench.assertExact
    yield* Effect.log(
      `seed ${seed}: ${joins} joins, ${movements} times partitions were taken away, ` +
        `${
          windows.join(", ")
        } records committed per 10 s; the rest within ${calmMillis} ms after ` +
        `${calmFrom - from} ms`
    )
    assert.isAtLeast(joins, seconds)
    if (!isStatic) assert.isAtLeast(movements, seconds / 4)
    for (const records of windows) assert.isAbove(records, 0, `records in ${windows.join(", ")}`)
  })
