/**
 * The job with its faults: the input is written in three parts, while two workers process it. In
 * the second part one of them is killed, in the third the network is cut, each in the middle of an
 * open transaction.
 *
 * Nothing here is left to timing: a fault strikes when a worker says that all of a batch is sent
 * and nothing of it committed, and the network is healed when both workers say that it is gone.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ends from "../ends.ts"
import { type Cluster, partitions } from "./cluster.ts"
import * as Crew from "./crew.ts"
import { driverLayer, type DriverName } from "./driver.ts"
import * as Feed from "./feed.ts"
import type { Line } from "./flights.ts"
import { requestTimeout } from "./pipeline.ts"

/** Runs the job to its end, and answers what was seen. */
export const run = (driver: DriverName, cluster: Cluster, lines: ReadonlyArray<Line>) =>
  Effect.gen(function*() {
    const crew = Crew.make(driver, cluster, lines.length)
    const ends: Ends.Ends = new Map()
    const write = (from: number, to: number) =>
      Feed.write(
        cluster.names.raw,
        lines.slice(Math.floor(lines.length * from), Math.floor(lines.length * to)),
        ends
      )

    yield* crew.start("a", "a")
    yield* crew.start("b", "b")
    yield* crew.awaitShared
    crew.tell(`two workers share ${partitions} partitions, and flights come in`)
    const startedAt = performance.now()
    yield* write(0, 0.3)

    yield* crew.hold
    yield* write(0.3, 0.6)
    // Whoever is half way first; with few records it is not known beforehand who that is.
    const victim = yield* crew.awaitHolder
    yield* crew.kill(victim)
    crew.tell(`worker ${victim} was killed in the middle of a transaction`)
    yield* crew.order("go on")
    yield* crew.start(`${victim}2`, victim)
    yield* crew.awaitShared
    crew.tell(`worker ${victim}2 has taken its place`)

    yield* crew.hold
    yield* write(0.6, 1)
    yield* crew.awaitHolder
    yield* cutOnce(crew, cluster)

    const { group, raw } = cluster.names
    const limit = Duration.millis(120_000 + lines.length)
    const done = Ends.awaitCommitted(group, raw, ends, limit)
    yield* Effect.raceFirst(done, crew.broken)
    crew.tally.millis = performance.now() - startedAt
    crew.tell("every flight is processed; reading what is committed")
    yield* crew.dismiss
    return crew.tally
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provideMerge(Feed.layer(cluster), driverLayer(driver, cluster.direct)))
  )

// Longer than a request may take, and than it takes both workers to say so.
const cutAtLeast = Duration.times(requestTimeout, 1.5)

/** Cuts the network, lets the workers run into it, and heals it. */
const cutOnce = (crew: ReturnType<typeof Crew.make>, { network }: Cluster) =>
  network === null ? crew.order("go on") : Effect.gen(function*() {
    const cutAt = performance.now()
    yield* network.blackhole("both")
    crew.tell("the network is cut in the middle of a transaction")
    yield* crew.order("go on")
    yield* Effect.all([crew.awaitUnreachable, Effect.sleep(cutAtLeast)], { concurrency: 2 })
    crew.tally.cutMillis = performance.now() - cutAt
    crew.tell("both workers have noticed; the network is healed")
  }).pipe(Effect.ensuring(network.heal))
