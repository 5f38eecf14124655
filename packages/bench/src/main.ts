/**
 * The benchmark: the library beside the raw client in one run, and its core alone. Run it with
 * `npm run bench`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { access, constants, writeFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { type Arguments, parse, type WorkName } from "./Arguments.ts"
import * as BrokerWorks from "./BrokerWorks.ts"
import * as CoreProcess from "./CoreProcess.ts"
import type { Line } from "./Figure.ts"
import * as Machine from "./Machine.ts"
import * as PipelineWork from "./PipelineWork.ts"
import * as ProxyWork from "./ProxyWork.ts"
import * as Report from "./Report.ts"

const brokerWorks: ReadonlyArray<WorkName> = ["single", "batch", "pipeline"]

const onBroker = ({ length, works }: Arguments) =>
  Effect.scoped(Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.make()
    yield* Console.log(Machine.versions(kafka.version))
    const single = works.includes("single") ? yield* BrokerWorks.single(kafka, length) : []
    const batch = works.includes("batch") ? yield* BrokerWorks.batch(kafka, length) : []
    const pipeline = works.includes("pipeline")
      ? yield* PipelineWork.pipeline(kafka, length)
      : []
    return [...single, ...batch, ...pipeline]
  }))

const measure = (options: Arguments) =>
  Effect.gen(function*() {
    const needsBroker = options.works.some((work) => brokerWorks.includes(work))
    yield* Console.log(Machine.describe())
    if (!needsBroker) yield* Console.log(Machine.versions(null))
    const broker: ReadonlyArray<Line> = needsBroker ? yield* onBroker(options) : []
    const proxy = options.works.includes("proxy") ? yield* ProxyWork.proxy(options.length) : []
    // The broker is gone by now and takes nothing from the core's figures.
    const core = options.works.includes("core") ? yield* CoreProcess.run(options.length) : []
    return [...broker, ...proxy, ...core]
  })

// What cannot be written is told before anything is measured.
const checkFolder = (json: string) =>
  Effect.tryPromise({
    try: () => access(dirname(resolve(json)), constants.W_OK),
    catch: (cause) => new Error(`--json: ${String(cause)}`)
  })

const main = (options: Arguments) =>
  Effect.gen(function*() {
    const { json } = options
    if (json !== null) yield* checkFolder(json)
    const lines = yield* measure(options)
    yield* Console.log(Report.render(lines))
    if (json === null) return
    const figures = lines.map(({ figure }) => figure)
    yield* Effect.tryPromise({
      try: () => writeFile(json, `${JSON.stringify(figures, null, 2)}\n`),
      catch: (cause) => new Error(`--json: ${String(cause)}`)
    })
  })

const parsed = parse(process.argv.slice(2))
if (parsed._tag === "Exit") {
  const stream = parsed.code === 0 ? process.stdout : process.stderr
  stream.write(`${parsed.text}\n`)
  process.exitCode = parsed.code
} else {
  NodeRuntime.runMain(main(parsed.arguments))
}
