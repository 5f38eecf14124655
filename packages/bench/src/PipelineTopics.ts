/**
 * The topics of the pipelines: an input that all contenders read, and for each run an output of its
 * own, which is counted by Kafka's own client, so that nobody wins by losing records.
 */
import type { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as LineProcess from "./LineProcess.ts"

type Kafka = EmbeddedKafka["Service"]

/** Fills inputs and checks outputs. */
export interface PipelineTopics {
  readonly makeInput: (
    name: string,
    partitions: number,
    records: number
  ) => Effect.Effect<void, unknown>
  readonly makeOutput: (name: string, partitions: number) => Effect.Effect<void, unknown>
  /** Fails unless exactly the records of an input of so many are committed, each once. */
  readonly check: (output: string, records: number) => Effect.Effect<void, Error>
}

/** Starts the Java program that does so. */
export const make = (kafka: Kafka): Effect.Effect<PipelineTopics, Error, Scope.Scope> =>
  Effect.map(
    LineProcess.java("PipelineTopics", kafka.classPath, [kafka.bootstrapServers.join(",")]),
    (tool) => ({
      makeInput: (name, partitions, records) =>
        Effect.andThen(
          kafka.createTopic(name, { partitions }),
          tool.ask(`fill ${name} ${partitions} ${records}`, (line) => line === "filled" || null)
        ),
      makeOutput: (name, partitions) => kafka.createTopic(name, { partitions }),
      check: (output, records) =>
        Effect.flatMap(tool.ask(`sum ${output}`, sumIn), (found) => {
          const wanted = sumOf(records)
          return found.records === wanted.records && found.numbers === wanted.numbers
            ? Effect.void
            : Effect.fail(
              new Error(
                `${output} has ${found.records} records in place of ${records}, ` +
                  `and the sum of their numbers is ${found.numbers} in place of ${wanted.numbers}`
              )
            )
        })
    })
  )

interface Sum {
  readonly records: number
  readonly numbers: number
}

/** What is committed when each record of an input was written once. */
export const sumOf = (records: number): Sum => ({
  records,
  numbers: (records * (records - 1)) / 2
})

const sumIn = (line: string): Sum | null => {
  const [word, records, numbers] = line.split(" ")
  return word === "sum" ? { records: Number(records), numbers: Number(numbers) } : null
}
