/**
 * One contender of the pipelines, in a process of its own, so that its memory and processor time
 * are its own, too. Arguments: its name and the brokers; then jobs on standard input.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createInterface } from "node:readline"
import { fromLine, type Job, say, type Word } from "./PipelineJob.ts"
import * as PipelineOurs from "./PipelineOurs.ts"
import * as PipelineRawKafkaJs from "./PipelineRawKafkaJs.ts"
import * as PipelineWatch from "./PipelineWatch.ts"

type Run = (job: Job, watch: PipelineWatch.PipelineWatch) => Effect.Effect<void, unknown>

const contenders: Readonly<Record<string, (brokers: ReadonlyArray<string>) => Run>> = {
  kafkajs: (brokers) => PipelineOurs.run(KafkaJs.layer({ brokers, clientId: "bench" })),
  platformatic: (brokers) => PipelineOurs.run(Platformatic.layer({ brokers, clientId: "bench" })),
  "raw-kafkajs": PipelineRawKafkaJs.run
}

const tell = (word: Word): void => {
  process.stdout.write(`${say(word)}\n`)
}

const [name = "", brokers = ""] = process.argv.slice(2)
// kafkajs sets timers in the past, about which Node would print a warning.
process.removeAllListeners("warning")

NodeRuntime.runMain(
  Effect.gen(function*() {
    const run = contenders[name]?.(brokers.split(","))
    if (run === undefined) return yield* Effect.die(`there is no contender ${name}`)
    const lines = createInterface({ input: process.stdin })
    tell({ _tag: "Ready" })
    yield* Stream.fromAsyncIterable(lines, (cause) => cause).pipe(
      Stream.runForEach((line) => {
        const job = fromLine(line)
        if (job === null) return Effect.die(`not a job: ${line}`)
        const watch = PipelineWatch.make(job.records, tell)
        return Effect.map(run(job, watch), () => tell({ _tag: "Done", done: watch.done() }))
      })
    )
    // Whoever started it is gone.
    process.exit(0)
  })
)
