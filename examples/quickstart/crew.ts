/**
 * The workers of the quickstart, and what they have told.
 */
import * as Effect from "effect/Effect"
import * as Team from "../team.ts"
import { type Cluster, partitions } from "./cluster.ts"
import type { DriverName } from "./driver.ts"
import { makeProgress, type Progress } from "./progress.ts"
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

interface Worker {
  readonly member: Team.Member<Order>
  readonly seen: Seen
}

interface Seen {
  owns: number
  holds: string | null
  isUnreachable: boolean
}

/** Makes a crew without workers. */
export const make = (driver: DriverName, { brokers, names }: Cluster, records: number) => {
  const tally: Tally = { outcomes: new Map(), killed: null, cutMillis: null, millis: 0 }
  const progress = makeProgress(records)
  const workers = new Map<string, Worker>()
  const seenOf = new Map<string, Seen>()
  const team = Team.make<Job, Order, Report>(
    new URL("worker.ts", import.meta.url),
    (name, report) => note(tally, progress, seenOf.get(name)!, report)
  )
  const all = () => [...workers.values()]
  const holder = () => [...workers].find(([, { seen }]) => seen.holds !== null)
  return {
    tally,
    tell: progress.tell,
    /** Fails when a worker ends by itself. */
    broken: team.broken,
    /** Starts a worker; a replacement has its predecessor's instance id. */
    start: (name: string, instanceId: string) =>
      Effect.gen(function*() {
        const seen: Seen = { owns: 0, holds: null, isUnreachable: false }
        seenOf.set(name, seen)
        const member = yield* team.start(name, { driver, brokers, names, instanceId })
        workers.set(name, { member, seen })
      }),
    order: (order: Order) => Effect.forEach(all(), ({ member }) => member.tell(order)),
    /** Tells all to stop half way; what they hold is asked with `awaitHolder`. */
    hold: Effect.suspend(() => {
      for (const { seen } of all()) seen.holds = null
      return Effect.forEach(all(), ({ member }) => member.tell("hold"))
    }),
    /** Waits for a worker that has sent all of a batch and committed nothing of it. */
    awaitHolder: Effect.suspend(() =>
      Effect.map(
        team.until("A batch that is half done", () => holder() !== undefined),
        () => holder()![0]
      )
    ),
    kill: (name: string) =>
      Effect.suspend(() => {
        const { member, seen } = workers.get(name)!
        tally.killed = seen.holds
        workers.delete(name)
        // What the others own is asked anew: it is theirs only when the group says so again.
        for (const { seen } of all()) seen.owns = 0
        return member.kill
      }),
    awaitShared: team.until(
      "the workers to share the partitions",
      () =>
        all().every(({ seen }) => seen.owns > 0) &&
        all().reduce((sum, { seen }) => sum + seen.owns, 0) === partitions
    ),
    awaitUnreachable: team.until(
      "The news that no worker reaches the brokers",
      () => all().every(({ seen }) => seen.isUnreachable)
    ),
    dismiss: Effect.suspend(() =>
      Effect.forEach(all(), ({ member }) => member.dismiss, { concurrency: 2, discard: true })
    )
  }
}

const note = (tally: Tally, progress: Progress, seen: Seen, report: Report): void => {
  switch (report._tag) {
    case "Owns":
      seen.owns = report.partitions
      break
    case "Holds":
      seen.holds = report.batch
      break
    case "Unreachable":
      seen.isUnreachable = true
      break
    case "Reachable":
      seen.isUnreachable = false
      break
    case "Settled":
      tally.outcomes.set(report.batch, report.outcome)
      if (report.outcome === "Committed") progress.add(report.records)
  }
}
