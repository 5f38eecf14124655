/**
 * The main job: real flights into Kafka, one transaction a day, while an answer is lost and a
 * process dies; then a comparison with what the file says. Run it with `npm run quickstart`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { type Arguments, parse } from "./arguments.ts"
import * as Cluster from "./cluster.ts"
import { compare, type Result } from "./comparison.ts"
import * as Flights from "./flights.ts"
import { makeProgress } from "./progress.ts"
import { renderTable } from "./table.ts"
import * as WorkerProcess from "./workerProcess.ts"

interface Tally {
  readonly outcomes: Map<string, string>
  sentAgain: number
  killed: string | null
  writingMillis: number
}

/** Writes the days with one worker process, until it is done or has died where it was told to. */
const runWorker = (
  cluster: Cluster.Cluster,
  options: Arguments,
  days: ReadonlyArray<Flights.FlightDay>,
  dieOn: string | null,
  tally: Tally,
  progress: (done: number) => void
) =>
  Effect.scoped(Effect.gen(function*() {
    const { topic, brokers } = cluster
    const worker = yield* WorkerProcess.make({
      driver: options.driver,
      brokers,
      topic,
      days,
      dieOn
    })
    let beganAt = 0
    while (true) {
      const message = yield* worker.next
      switch (message._tag) {
        case "Began":
          beganAt = performance.now()
          break
        case "Settled":
          tally.outcomes.set(message.day, message.outcome)
          tally.writingMillis += performance.now() - beganAt
          beganAt = performance.now()
          progress(tally.outcomes.size)
          break
        case "SentAgain":
          tally.sentAgain += 1
          break
        case "HalfSent":
          tally.killed = message.day
          yield* worker.kill
          break
        case "Exited":
          return message.code === 0 || message.signal === "SIGKILL"
            ? undefined
            : yield* Effect.die(new Error(`a worker ended with code ${message.code}`))
      }
    }
  }))

/** The whole job: two workers, one after the other, with the faults between. */
const writeDays = (
  cluster: Cluster.Cluster,
  options: Arguments,
  days: ReadonlyArray<Flights.FlightDay>
) =>
  Effect.gen(function*() {
    const tally: Tally = { outcomes: new Map(), sentAgain: 0, killed: null, writingMillis: 0 }
    const progress = makeProgress(days.length)
    // It dies in a good day: a spoiled one would abort before its end.
    const dieAt = days.findIndex((day, index) => index >= days.length / 3 && !day.isSpoiled)
    const dieOn = days[dieAt]?.day ?? null
    const first = runWorker(cluster, options, days, dieOn, tally, progress)
    // Each day before that one sends at least once, and so does that one before it dies.
    yield* cluster.withLostAnswer(first, Math.max(1, Math.min(20, dieAt)))
    const left = days.filter((day) => !tally.outcomes.has(day.day))
    if (left.length > 0) yield* runWorker(cluster, options, left, null, tally, progress)
    return tally
  })

class NotWritten extends Data.TaggedError("NotWritten")<{ readonly detail: string }> {
  override get message(): string {
    return `The file of --json cannot be written: ${this.detail}`
  }
}

const write = (file: string, text: string) =>
  Effect.tryPromise({
    try: () => writeFile(file, text),
    catch: (cause) => new NotWritten({ detail: String(cause) })
  })

const main = (options: Arguments) =>
  Effect.scoped(Effect.gen(function*() {
    const startedAt = performance.now()
    // Before the work, not after it.
    if (options.json !== null) yield* write(options.json, "")
    const cluster = yield* Cluster.make(options.brokers)
    yield* Console.log(cluster.description)
    const days = yield* Flights.load(options.records)
    const tally = yield* writeDays(cluster, options, days)
    const read = yield* CommittedRecords.read({
      bootstrapServers: cluster.readFrom,
      topic: cluster.topic,
      ...(cluster.classPath === undefined ? {} : { classPath: cluster.classPath })
    })
    const comparison = compare(days, read)
    const outcomes = [...tally.outcomes.values()]
    const outcomeCount = (name: string) => outcomes.filter((outcome) => outcome === name).length
    const { records, lost, doubled, torn } = comparison
    const result: Result = {
      committed: outcomeCount("committed"),
      aborted: outcomeCount("aborted"),
      unknown: outcomeCount("unknown"),
      records,
      lost,
      doubled,
      torn,
      recordsPerSecond: Math.round((records / tally.writingMillis) * 1_000)
    }
    yield* Console.log(renderTable(result, {
      days: days.length,
      spoiled: days.filter((day) => day.isSpoiled).length,
      expected: comparison.expected,
      sentAgain: tally.sentAgain,
      lostAnswers: cluster.lostAnswers,
      killed: tally.killed,
      seconds: (performance.now() - startedAt) / 1_000
    }))
    const { json } = options
    if (json !== null) {
      yield* write(json, `${JSON.stringify(result, null, 2)}\n`)
    }
    return lost + doubled + torn === 0
  }))

const parsed = parse(process.argv.slice(2))
if (parsed._tag === "Exit") {
  const stream = parsed.code === 0 ? process.stdout : process.stderr
  stream.write(`${parsed.text}\n`)
  process.exitCode = parsed.code
} else {
  NodeRuntime.runMain(
    Effect.flatMap(main(parsed.arguments), (isRight) =>
      Effect.sync(() => {
        if (!isRight) process.exitCode = 1
      }))
  )
}
