/**
 * The main job: real flights through an exactly-once pipeline, while a worker is killed and the
 * network is cut; then a comparison with what a plain program makes of the file. Run it with
 * `npm run quickstart`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { type Arguments, parse } from "./arguments.ts"
import * as Cluster from "./cluster.ts"
import * as Comparison from "./comparison.ts"
import * as Flights from "./flights.ts"
import * as Job from "./job.ts"
import { renderTable } from "./table.ts"

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

const readAll = ({ classPath, direct, names }: Cluster.Cluster) => {
  const read = (topic: string) =>
    CommittedRecords.read({ bootstrapServers: direct, topic, classPath })
  return Effect.all({
    flights: read(names.flights),
    delays: read(names.delays),
    dead: read(names.dead)
  }, { concurrency: 3 })
}

const main = ({ brokers, driver, json, records }: Arguments) =>
  Effect.gen(function*() {
    const startedAt = performance.now()
    // Before the work, not after it.
    if (json !== null) yield* write(json, "")
    const cluster = yield* Cluster.make(brokers)
    yield* Console.log(cluster.description)
    const lines = yield* Flights.load(records)
    const tally = yield* Job.run(driver, cluster, lines)
    const expected = Flights.compute(lines)
    const found = Comparison.compare(expected, tally, yield* readAll(cluster))
    const recordsPerSecond = Math.round((records / tally.millis) * 1_000)
    const seconds = (performance.now() - startedAt) / 1_000
    yield* Console.log(renderTable({ found, expected, tally, recordsPerSecond, seconds }))
    if (json !== null) {
      const faults = {
        workersKilled: tally.killed === null ? 0 : 1,
        networkCuts: tally.cutMillis === null ? 0 : 1
      }
      const result = { ...found, recordsPerSecond, ...faults }
      yield* write(json, `${JSON.stringify(result, null, 2)}\n`)
    }
    return Comparison.isRight(found)
  }).pipe(Effect.scoped)

const parsed = parse(process.argv.slice(2))
if (parsed._tag === "Exit") {
  const stream = parsed.code === 0 ? process.stdout : process.stderr
  stream.write(`${parsed.text}\n`)
  process.exitCode = parsed.code
} else {
  const failed = () => {
    process.exitCode = 1
  }
  NodeRuntime.runMain(
    Effect.matchEffect(main(parsed.arguments), {
      onSuccess: (isRight) => isRight ? Effect.void : Effect.sync(failed),
      // Its message says what to do; where it was raised helps nobody.
      onFailure: ({ message }) => Effect.andThen(Console.error(`\n${message}`), Effect.sync(failed))
    })
  )
}
