/**
 * One contender of the pipelines, in a process of its own, so that its memory and processor time
 * are its own, too. Arguments: its name and the brokers; then jobs on standard input.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Jobs from "./Jobs.ts"
import { fromLine, type Job, say, type Word } from "./PipelineJob.ts"
import * as PipelineWatch from "./PipelineWatch.ts"

type Run = (job: Job, watch: PipelineWatch.PipelineWatch) => Effect.Effect<void, unknown>

// Each loads what it needs alone: a client that another one uses would be counted as its memory.
const contenders: Readonly<Record<string, (brokers: ReadonlyArray<string>) => Promise<Run>>> = {
  kafkajs: async (brokers) => {
    const [Ours, KafkaJs] = await Promise.all([ours(), import("@kafka-once/kafkajs/KafkaJs")])
    return Ours.run(KafkaJs.layer({ brokers, clientId: "bench" }))
  },
  platformatic: async (brokers) => {
    const [Ours, Platformatic] = await Promise.all([
      ours(),
      import("@kafka-once/platformatic/Platformatic")
    ])
    return Ours.run(Platformatic.layer({ brokers, clientId: "bench" }))
  },
  "raw-kafkajs": async (brokers) => {
    const RawKafkaJs = await import("./PipelineRawKafkaJs.ts")
    return RawKafkaJs.run(brokers)
  },
  "raw-platformatic": async (brokers) => {
    const RawPlatformatic = await import("./PipelineRawPlatformatic.ts")
    return RawPlatformatic.run(brokers)
  }
}

const ours = () => import("./PipelineOurs.ts")

const tell = (word: Word): void => Jobs.tell(say(word))

const [name = "", brokers = ""] = process.argv.slice(2)
// kafkajs sets timers in the past, about which Node would print a warning.
process.removeAllListeners("warning")

NodeRuntime.runMain(
  Effect.gen(function*() {
    const contender = contenders[name]
    if (contender === undefined) return yield* Effect.die(`there is no contender ${name}`)
    const run = yield* Effect.tryPromise(() => contender(brokers.split(",")))
    yield* Jobs.serve(fromLine, (job) => {
      const watch = PipelineWatch.make(job.records, tell)
      return Effect.map(run(job, watch), () => tell({ _tag: "Done", done: watch.done() }))
    })
  }).pipe(Jobs.toStandardError),
  { disableErrorReporting: true }
)
