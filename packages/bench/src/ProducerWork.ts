/**
 * The works of the producers: the same transactions by every contender, in turns, each contender in
 * a process of its own. What they say they committed is counted by Kafka's own client at the end,
 * so that nobody wins by losing records.
 */
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Line } from "./Figure.ts"
import * as Figure from "./Figure.ts"
import * as ProducerContender from "./ProducerContender.ts"
import { type Name, names } from "./ProducerContender.ts"
import { type Done, type Job, recordsOf } from "./ProducerJob.ts"

type Kafka = EmbeddedKafka["Service"]

/** A contender in a work: what it is called there, and how it differs from the work's job. */
export interface Entry {
  readonly label: string
  readonly contender: Name
  readonly job?: Partial<Job>
}

/** An entry under its contender's own name. */
export const entry = (contender: Name, job: Partial<Job> = {}): Entry => ({
  label: names[contender],
  contender,
  job
})

/** What is held against what: a ratio of two entries within each round. */
export interface Comparison {
  readonly of: string
  readonly to: string
  readonly by: "throughput" | "90th percentile" | "memory" | "CPU"
  readonly goal: Figure.Goal | null
}

/** One work. */
export interface Work {
  readonly work: string
  readonly topic: string
  readonly partitions: number
  /** What is done in one turn, by who differs in nothing. */
  readonly job: Omit<Job, "topic" | "prefix">
  readonly entries: ReadonlyArray<Entry>
  readonly rounds: number
  readonly warmUpRounds: number
  readonly comparisons: ReadonlyArray<Comparison>
  readonly unit: "records/s" | "transactions/s"
  /** What is told of each entry besides its throughput. */
  readonly tells: ReadonlyArray<"times" | "memory" | "CPU">
}

/** One turn of an entry. */
export interface Turn {
  readonly job: Job
  readonly done: Done
}

/** What the turns of an entry took, round by round. */
export type Turns = ReadonlyMap<string, ReadonlyArray<Turn>>

const jobOf = ({ job, topic }: Work, { contender, job: own, label }: Entry): Job => ({
  ...job,
  ...own,
  topic,
  prefix: `${topic}-${contender}-${label.replaceAll(/\W+/g, "-")}`
})

/** Runs a work, and answers with its figures. */
export const run = (
  kafka: Kafka,
  work: Work
): Effect.Effect<ReadonlyArray<Line>, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const { entries, partitions, rounds, topic, warmUpRounds } = work
    // Processes of its own, whose memory no other work has grown.
    const contenders = yield* ProducerContender.make(kafka)
    yield* kafka.createTopic(topic, { partitions })
    yield* Console.error(`${work.work}: ${entries.length} contenders, ${rounds} rounds`)
    const turns = new Map(entries.map(({ label }) => [label, [] as Array<Turn>]))
    let committed = 0
    for (let round = -warmUpRounds; round < rounds; round++) {
      for (let turn = 0; turn < entries.length; turn++) {
        // Another one begins each round: what follows a heavy contender may pay for its work.
        const one = entries[(round + warmUpRounds + turn) % entries.length]!
        const job = jobOf(work, one)
        const done = yield* contenders.run(one.contender, job)
        committed += recordsOf(job)
        if (round >= 0) turns.get(one.label)!.push({ job, done })
      }
    }
    const counted = yield* contenders.count(topic)
    if (counted !== committed) {
      return yield* Effect.fail(
        new Error(`"${topic}" has ${counted} committed records, and ${committed} were reported`)
      )
    }
    return linesOf(work, turns)
  }))

/** The figures of a work, and its goals. */
export const linesOf = (work: Work, turns: Turns): ReadonlyArray<Line> => {
  const labels = work.entries.map(({ label }) => label)
  const of = (label: string): ReadonlyArray<Turn> => turns.get(label) ?? []
  const each = (unit: string, value: (turn: Turn) => number): ReadonlyArray<Line> =>
    labels.map((contender) => ({
      figure: Figure.make({ work: work.work, contender, unit }, of(contender).map(value)),
      goal: null
    }))
  const compared = work.comparisons.map(({ by, goal, of: one, to }): Line => ({
    figure: Figure.make(
      {
        work: work.work,
        contender: `${one} ÷ ${to}`,
        unit: by === "throughput" ? "ratio" : `ratio of ${by}`
      },
      of(one).map((turn, round) => measures[by](turn) / measures[by](of(to)[round]!))
    ),
    goal
  }))
  return [
    ...each(
      work.unit,
      work.unit === "records/s" ? recordsPerSecond : measures.throughput
    ),
    ...work.tells.includes("times")
      ? [
        ...each("ms, median", ({ done }) => done.medianMillis),
        ...each("ms, 90th percentile", measures["90th percentile"])
      ]
      : [],
    ...work.tells.includes("memory") ? each("MB at most", memoryMegabytes) : [],
    ...work.tells.includes("CPU") ? each("µs CPU/record", measures.CPU) : [],
    ...compared
  ]
}

const recordsPerSecond = ({ done, job }: Turn): number => recordsOf(job) / done.seconds

const memoryMegabytes = ({ done }: Turn): number => done.largestBytes / 1e6

const measures: Readonly<Record<Comparison["by"], (turn: Turn) => number>> = {
  throughput: ({ done, job }) => job.producers * job.transactions / done.seconds,
  "90th percentile": ({ done }) => done.ninetiethMillis,
  memory: memoryMegabytes,
  CPU: ({ done, job }) => done.cpuSeconds * 1e6 / recordsOf(job)
}
