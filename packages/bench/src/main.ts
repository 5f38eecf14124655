/**
 * The benchmark: the library beside the raw client in one run, and its core alone. Run it with
 * `npm run bench`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { type Arguments, type Length, parse, type WorkName } from "./Arguments.ts"
import * as Chart from "./Chart.ts"
import * as CoreProcess from "./CoreProcess.ts"
import type { Line } from "./Figure.ts"
import * as Machine from "./Machine.ts"
import * as OutputFile from "./OutputFile.ts"
import * as PipelineLatency from "./PipelineLatency.ts"
import * as PipelineMemory from "./PipelineMemory.ts"
import * as PipelineWork from "./PipelineWork.ts"
import * as ProducerWork from "./ProducerWork.ts"
import * as ProducerWorks from "./ProducerWorks.ts"
import * as ProxyWork from "./ProxyWork.ts"
import * as Report from "./Report.ts"
import * as StreamsJars from "./StreamsJars.ts"

/** The works of the producers by the names that `--work` takes. */
const producerWorks = (name: WorkName, length: Length): ReadonlyArray<ProducerWork.Work> => {
  switch (name) {
    case "single":
      return [ProducerWorks.single(length)]
    case "lanes":
      return [ProducerWorks.lanes(length)]
    case "batch":
      return [ProducerWorks.batch(length, 1), ProducerWorks.batch(length, 3)]
    case "ids":
      return [ProducerWorks.ids(length), ProducerWorks.thousandIds(length)]
    case "volume":
      return [ProducerWorks.volume(length)]
    default:
      return []
  }
}

const onBroker = ({ length, works }: Arguments) =>
  Effect.scoped(Effect.gen(function*() {
    // What Maven cannot resolve is told before anything is measured.
    const streams = works.includes("pipeline") ? yield* StreamsJars.resolve : null
    const kafka = yield* EmbeddedKafka.make()
    yield* Console.log(
      Machine.versions({ kafka: kafka.version, streams: streams?.version ?? null })
    )
    const producers = yield* Effect.forEach(
      works.flatMap((name) => producerWorks(name, length)),
      (work) => ProducerWork.run(kafka, work)
    )
    const pipeline = streams === null ? [] : yield* PipelineWork.pipeline(kafka, streams, length)
    const memory = works.includes("memory") ? yield* PipelineMemory.memory(kafka, length) : []
    const latency = works.includes("latency") ? yield* PipelineLatency.latency(kafka, length) : []
    return [...producers.flat(), ...pipeline, ...memory, ...latency]
  }))

const measure = (options: Arguments) =>
  Effect.gen(function*() {
    const needsBroker = options.works.some((work) => work !== "proxy" && work !== "core")
    yield* Console.log(Machine.describe())
    if (!needsBroker) yield* Console.log(Machine.versions({ kafka: null, streams: null }))
    const broker: ReadonlyArray<Line> = needsBroker ? yield* onBroker(options) : []
    const proxy = options.works.includes("proxy") ? yield* ProxyWork.proxy(options.length) : []
    // The broker is gone by now and takes nothing from the core's figures.
    const core = options.works.includes("core") ? yield* CoreProcess.run(options.length) : []
    return [...broker, ...proxy, ...core]
  })

const main = (options: Arguments) =>
  Effect.gen(function*() {
    const { chart, json } = options
    const lines = yield* measure(options)
    yield* Console.log(Report.render(lines))
    const figures = lines.map(({ figure }) => figure)
    if (json !== null) yield* write("--json", json, `${JSON.stringify(figures, null, 2)}\n`)
    if (chart !== null) yield* write("--chart", chart, Chart.render(figures))
  })

const write = (flag: string, file: string, text: string) =>
  Effect.tryPromise({
    try: () => writeFile(file, text),
    catch: (cause) => new Error(`${flag}: ${String(cause)}`)
  })

const refuse = (text: string) => {
  process.stderr.write(`${text}\n`)
  process.exitCode = 2
}

const parsed = parse(process.argv.slice(2))
if (parsed._tag === "Run") {
  const { chart, json } = parsed.arguments
  // What cannot be written is told before anything is measured.
  const problem = OutputFile.problemOf("--json", json) ?? OutputFile.problemOf("--chart", chart)
  if (problem === null) NodeRuntime.runMain(main(parsed.arguments))
  else refuse(problem)
} else if (parsed.code === 0) {
  process.stdout.write(`${parsed.text}\n`)
} else {
  refuse(parsed.text)
}
