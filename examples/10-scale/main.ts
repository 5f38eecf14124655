/**
 * Scale: processes of one group share twelve partitions on three brokers. While numbers flow, one
 * process is killed, two are added, another is killed and one leaves; in the end every number has
 * its square, once.
 *
 * Run it with `npx node --conditions=@kafka-once/source examples/10-scale/main.ts`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ends from "../ends.ts"
import * as Team from "../team.ts"
import * as Feed from "./feed.ts"
import type { Job, Report } from "./worker.ts"

const partitions = 12

const work = (brokers: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const reports = new Map<string, { owns: number; committed: number }>()
    const present = new Map<string, Team.Member<never>>()
    const team = Team.make<Job, never, Report>(
      new URL("worker.ts", import.meta.url),
      (name, report) => {
        const seen = reports.get(name)!
        if (report._tag === "Owns") seen.owns = report.partitions
        else seen.committed += report.records
      }
    )
    const start = (name: string) =>
      Effect.gen(function*() {
        reports.set(name, { owns: 0, committed: 0 })
        present.set(name, yield* team.start(name, { brokers, name }))
      })
    const leave = (name: string, how: "kill" | "dismiss") =>
      Effect.suspend(() => {
        const member = present.get(name)!
        present.delete(name)
        return member[how]
      })
    /** Waits until those who are there have all partitions, and have all committed something. */
    const settle = (what: string) =>
      Effect.gen(function*() {
        const from = performance.now()
        const before = new Map([...reports].map(([name, { committed }]) => [name, committed]))
        const here = () => [...present.keys()].map((name) => ({ name, ...reports.get(name)! }))
        yield* team.until(`A share for each, when ${what},`, () =>
          here().reduce((sum, { owns }) => sum + owns, 0) === partitions &&
          here().every(({ committed, name }) => committed > before.get(name)!))
        const shares = here().map(({ name, owns }) =>
          `${name} ${owns}`
        ).join(", ")
        const seconds = ((performance.now() - from) / 1_000).toFixed(1)
        yield* Console.log(`${what}, after ${seconds} s: ${shares}`)
      })

    const feed = yield* Feed.start
    yield* Effect.forEach(["w1", "w2", "w3"], start)
    yield* settle("three workers share twelve partitions")
    yield* leave("w2", "kill")
    yield* settle("w2 was killed")
    yield* Effect.forEach(["w4", "w5"], start)
    yield* settle("w4 and w5 were added")
    yield* leave("w1", "kill")
    yield* leave("w3", "dismiss")
    yield* settle("w1 was killed, w3 has left")
    const { count, ends } = yield* feed.stop
    const done = Ends.awaitCommitted("squares", "numbers", ends, Duration.minutes(2))
    yield* Effect.raceFirst(done, team.broken)
    yield* Effect.forEach(present.values(), ({ dismiss }) => dismiss, { concurrency: 2 })
    return count
  }).pipe(Effect.scoped, Effect.provide(Platformatic.layer({ brokers })))

const main = Effect.gen(function*() {
  const { bootstrapServers, classPath, createTopic } = yield* EmbeddedKafka.make({ nodes: 3 })
  yield* createTopic("numbers", { partitions })
  yield* createTopic("squares", { partitions })
  const count = yield* work(bootstrapServers)
  const read = yield* CommittedRecords.read({ bootstrapServers, classPath, topic: "squares" })
  const decoder = new TextDecoder()
  const squares = read.map(({ value }) => decoder.decode(value ?? undefined))
  const seen = new Set(squares)
  const lost = Array.from({ length: count }, (_, n) => `${n} ${n * n}`)
    .filter((square) => !seen.has(square)).length
  const doubled = squares.length - seen.size
  yield* Console.log(`${count} numbers; squares lost: ${lost}, doubled: ${doubled}`)
  return lost + doubled === 0 && squares.length === count
}).pipe(Effect.scoped)

NodeRuntime.runMain(
  Effect.flatMap(main, (isRight) =>
    Effect.sync(() => {
      if (!isRight) process.exitCode = 1
    }))
)
