/**
 * The job with its faults: the input is written in three parts, while two workers process it. In
 * the second part one of them is killed, in the third the network is cut, each in the middle of an
 * open transaction.
 *
 * Nothing here is left to timing: a fault strikes when a worker says that all of a batch is sent
 * and nothing of it committed, and the network is healed when both workers say that it is gone.
 */
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Team from "../team.ts"
import { type Cluster, partitions } from "./cluster.ts"
import { driverLayer, type DriverName } from "./driver.ts"
import * as Feed from "./feed.ts"
import type { Line } from "./flights.ts"
import { makeProgress } from "./progress.ts"
import type { Job, Order, Report } from "./worker.ts"

/** What was seen while the job ran. */
export interface Tally {
  /** What workers were told of their batches. */
  readonly outcomes: Map<string, "Committed" | "Aborted" | "Unknown">
  /** The batch in whose middle a worker was killed. */
  killed: string | null
  cutMillis: number | null
  millis: number
}

interface Seen {
  owns: number
  holds: string | null
  isUnreachable: boolean
}

/** Runs the job to its end. */
export const run = (driver: DriverName, cluster: Cluster, lines: ReadonlyArray<Line>) =>
  Effect.gen(function*() {
    const tally: Tally = { outcomes: new Map(), killed: null, cutMillis: null, millis: 0 }
    const seen = new Map<string, Seen>()
    const progress = makeProgress(lines.length)
    const team = Team.make<Job, Order, Report>(
      new URL("worker.ts", import.meta.url),
      (name, report) => note(tally, progress, seen.get(name)!, report)
    )
    const start = (name: string) => {
      seen.set(name, { owns: 0, holds: null, isUnreachable: false })
      const { brokers, names } = cluster
      // A replacement has its predecessor's instance id, and so ends what that one left open.
      const instanceId = name.slice(0, 1)
      return team.start(name, { driver, brokers, names, instanceId })
    }
    const all = (isSo: (one: Seen) => boolean) => () => [...seen.values()].every(isSo)
    const holder = () => [...seen].find(([, { holds }]) => holds !== null)?.[0]
    const ends: Feed.Ends = new Map()
    const write = (from: number, to: number) =>
      Feed.write(
        cluster.names.raw,
        lines.slice(Math.floor(lines.length * from), Math.floor(lines.length * to)),
        ends
      )

    const one = yield* start("a")
    const other = yield* start("b")
    yield* team.until(
      "two workers to share the partitions",
      () => all(({ owns }) => owns > 0)() && sum([...seen.values()]) === partitions
    )
    const startedAt = performance.now()
    yield* write(0, 0.3)

    const members = new Map([["a", one], ["b", other]])
    const tellAll = (order: Order) =>
      Effect.forEach(members.values(), (member) => member.tell(order), { discard: true })
    // Whoever is half way first; for few records it is not known beforehand who that is.
    const halfWay = (from: number, to: number) =>
      Effect.gen(function*() {
        for (const one of seen.values()) one.holds = null
        yield* tellAll("hold")
        yield* write(from, to)
        yield* team.until("a batch that is half done", () => holder() !== undefined)
        return holder()!
      })

    const victim = yield* halfWay(0.3, 0.6)
    tally.killed = seen.get(victim)!.holds
    yield* members.get(victim)!.kill
    seen.delete(victim)
    members.delete(victim)
    yield* tellAll("go on")
    const successor = `${victim}2`
    members.set(successor, yield* start(successor))
    yield* team.until("the new worker to have partitions", all(({ owns }) => owns > 0))

    yield* halfWay(0.6, 1)
    if (cluster.network !== null) {
      const { blackhole, heal } = cluster.network
      yield* Effect.gen(function*() {
        const cutAt = performance.now()
        yield* blackhole("both")
        yield* tellAll("go on")
        yield* team.until("the workers to notice the cut", all((one) => one.isUnreachable))
        tally.cutMillis = performance.now() - cutAt
      }).pipe(Effect.ensuring(heal))
    } else {
      yield* tellAll("go on")
    }

    yield* Effect.raceFirst(awaitDone(cluster, ends), team.broken)
    tally.millis = performance.now() - startedAt
    progress.end()
    yield* Effect.forEach(members.values(), ({ dismiss }) => dismiss, { concurrency: 2 })
    return tally
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provideMerge(Feed.layer(cluster), driverLayer(driver, cluster.direct)))
  )

const sum = (all: ReadonlyArray<Seen>): number => all.reduce((sum, { owns }) => sum + owns, 0)

const note = (
  tally: Tally,
  progress: ReturnType<typeof makeProgress>,
  one: Seen,
  report: Report
): void => {
  switch (report._tag) {
    case "Owns":
      one.owns = report.partitions
      break
    case "Holds":
      one.holds = report.batch
      break
    case "Unreachable":
      one.isUnreachable = true
      break
    case "Reachable":
      one.isUnreachable = false
      break
    case "Settled":
      tally.outcomes.set(report.batch, report.outcome)
      if (report.outcome === "Committed") progress.add(report.records)
  }
}

const doneLimit = "2 minutes"

/** Waits until the group's committed offsets are behind all of the input. */
const awaitDone = ({ names }: Cluster, ends: Feed.Ends) =>
  KafkaDriver.use(({ committedOffsets }) =>
    committedOffsets(
      names.group,
      [...ends.keys()].map((partition) => ({ topic: names.raw, partition }))
    )
  ).pipe(
    Effect.map((all) =>
      all.every(({ offset, partition }) => offset !== null && offset >= ends.get(partition)!)
    ),
    // The broker does not tell while a transaction has offsets pending.
    Effect.orElseSucceed(() => false),
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("200 millis") }),
    Effect.timeoutOrElse({
      duration: doneLimit,
      orElse: () =>
        Effect.fail(
          new Team.TeamFailed({ problem: `The workers are not done after ${doneLimit}.` })
        )
    })
  )
