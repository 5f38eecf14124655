/**
 * The contenders of the producers, each in a process of its own that is started when it is first
 * needed.
 */
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as LineProcess from "./LineProcess.ts"
import { type Done, hear, type Job, toLine } from "./ProducerJob.ts"

type Kafka = EmbeddedKafka["Service"]

/** The contenders, and what they are called in figures. */
export const names = {
  kafkajs: "kafka-once on kafkajs",
  "kafkajs-scope": "kafka-once on kafkajs, scope form",
  platformatic: "kafka-once on platformatic",
  "raw-kafkajs": "raw kafkajs, defaults",
  "raw-kafkajs-quick": "raw kafkajs, 2 ms retry",
  "raw-platformatic": "raw @platformatic/kafka, defaults",
  "raw-platformatic-quick": "raw @platformatic/kafka, 2 ms retry",
  java: "Java client"
} as const

/** A contender. */
export type Name = keyof typeof names

/** The processes of one run of the benchmark. */
export interface ProducerContenders {
  readonly run: (name: Name, job: Job) => Effect.Effect<Done, Error>
  /** How many records of a topic are committed, as Kafka's own client reads it. */
  readonly count: (topic: string) => Effect.Effect<number, Error>
}

/** Makes them; the processes end with the scope. */
export const make = (kafka: Kafka): Effect.Effect<ProducerContenders, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const started = new Map<Name, LineProcess.LineProcess>()
    const start = (name: Name): Effect.Effect<LineProcess.LineProcess, Error> =>
      Effect.suspend(() => {
        const found = started.get(name)
        if (found !== undefined) return Effect.succeed(found)
        const { bootstrapServers, classPath } = kafka
        const brokers = bootstrapServers.join(",")
        const starting = name === "java"
          ? LineProcess.java("ProducerLoop", classPath, [brokers])
          : LineProcess.node("ProducerProgram.ts", [name, brokers])
        return starting.pipe(
          Effect.provideService(Scope.Scope, scope),
          Effect.tap((process) => Effect.sync(() => started.set(name, process)))
        )
      })
    return {
      run: (name, job) => Effect.flatMap(start(name), (process) => process.ask(toLine(job), hear)),
      count: (topic) =>
        Effect.flatMap(start("java"), (process) => process.ask(`count ${topic}`, countOf))
    }
  })

const countOf = (line: string): number | null => {
  const [counted, records] = line.split(" ")
  return counted === "counted" ? Number(records) : null
}
