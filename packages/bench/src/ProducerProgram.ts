/**
 * One contender of the producers, in a process of its own. Arguments: the name of its client and
 * the brokers; then jobs on standard input.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Jobs from "./Jobs.ts"
import { clients } from "./ProducerClient.ts"
import { type Done, fromLine, type Job, quantile, say } from "./ProducerJob.ts"
import type { Client, Transact } from "./ProducerTransact.ts"
import * as Records from "./Records.ts"

/** The producers of a prefix are opened by its first job, and closed with the process. */
const opened = new Map<string, ReadonlyArray<Transact>>()

const open = (
  client: Client,
  job: Job
): Effect.Effect<ReadonlyArray<Transact>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const found = opened.get(job.prefix)
    if (found !== undefined) return found
    const { producers, records, topic } = job
    const all = Records.make(topic, producers * records)
    const made = yield* Effect.forEach(
      Array.from({ length: producers }, (_, index) => index),
      (index) => {
        const [from, to] = [index * records, (index + 1) * records]
        return client(`${job.prefix}-${index}`, job, {
          ours: all.ours.slice(from, to),
          raw: all.raw.slice(from, to)
        })
      },
      { concurrency: openAtOnce }
    )
    opened.set(job.prefix, made)
    return made
  })

const openAtOnce = 16

const run = (client: Client, job: Job) =>
  Effect.gen(function*() {
    const producers = yield* open(client, job)
    const millis: Array<number> = []
    const startedCpu = process.cpuUsage()
    const startedAt = performance.now()
    yield* Effect.forEach(
      producers,
      (transact) => Effect.repeat(timed(transact, millis), { times: job.transactions - 1 }),
      { concurrency: "unbounded", discard: true }
    )
    const seconds = (performance.now() - startedAt) / 1_000
    const { system, user } = process.cpuUsage(startedCpu)
    const done: Done = {
      seconds,
      cpuSeconds: (system + user) / 1e6,
      medianMillis: quantile(millis, 0.5),
      ninetiethMillis: quantile(millis, 0.9),
      residentBytes: process.memoryUsage.rss(),
      // Node tells it in kilobytes.
      largestBytes: process.resourceUsage().maxRSS * 1_024
    }
    return done
  })

const timed = (transact: Transact, millis: Array<number>) =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(transact, () => {
      millis.push(performance.now() - startedAt)
    })
  })

const [name = "", brokers = ""] = process.argv.slice(2)
// kafkajs sets timers in the past, about which Node would print a warning.
process.removeAllListeners("warning")

NodeRuntime.runMain(
  Effect.scoped(Effect.gen(function*() {
    const client = yield* clients[name]?.(brokers.split(",")) ??
      Effect.die(`there is no client ${name}`)
    yield* Jobs.serve(
      fromLine,
      (job) => Effect.map(run(client, job), (done) => Jobs.tell(say(done)))
    )
  })).pipe(Jobs.toStandardError),
  { disableErrorReporting: true }
)
