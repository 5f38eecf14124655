/**
 * What a test of a pipeline stands on: an input of numbered records that are copied to an output.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { ExactlyOnceOptions } from "@kafka-once/core/ExactlyOnceOptions"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import type * as Transaction from "@kafka-once/core/Transaction"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import type { Subject } from "./ConsumerBench.ts"
import * as Steps from "./DriverSteps.ts"
import * as LogReader from "./LogReader.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * So many partitions have the input and the output.
 *
 * @since 0.1.0
 */
export const partitions = 4

/**
 * What a program of a test fails with.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Data.TaggedError("Refused")<{ readonly value: string }> {}

/**
 * A key or a value.
 *
 * @since 0.1.0
 */
export type Text = string | null

type Options<E> = Partial<ExactlyOnceOptions<Text, Text, E, Transaction.Transaction>>

/**
 * A pipeline's topics and group, and what is to become of its records.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bench {
  /** A driver past the proxy. */
  readonly direct: ReturnType<Subject["driver"]>
  readonly kafka: EmbeddedKafka.EmbeddedKafka["Service"]
  readonly proxy: ProxiedKafka.Proxy["Service"]
  readonly input: string
  readonly output: string
  readonly dead: string
  readonly groupId: string
  /** So many more numbered records in each partition. */
  readonly write: (perPartition: number) => Effect.Effect<void, unknown>
  /** A pipeline that copies, with changes; it runs until the scope closes. */
  readonly start: <E = KafkaError>(
    changes?: Options<E | KafkaError>
  ) => Effect.Effect<ExactlyOnce.Running<E | KafkaError>, KafkaError, KafkaDriver | Scope.Scope>
  /** Waits until the group has everything behind it. */
  readonly awaitDone: Effect.Effect<void, unknown>
  /** The values that a reader of what is committed sees. */
  readonly visible: (topic: string) => Effect.Effect<ReadonlyArray<string>, unknown>
  /** Holds the output against what was written: every value once. */
  readonly assertCopied: Effect.Effect<void, unknown>
}

/**
 * Copies a batch. The output is told by the value, so that one function serves every test.
 *
 * @since 0.1.0
 */
export const copy = ExactlyOnce.eachRecord<Text, Text, never, never>(({ key, value }) =>
  Effect.succeed([{ topic: `output-${value?.slice(0, value.indexOf(" "))}`, key, value }])
)

/**
 * Runs a test with topics and a group of its own.
 *
 * @since 0.1.0
 */
export const withBench = <E>(
  { driver, groupProtocol }: Subject,
  test: (bench: Bench) => Effect.Effect<unknown, E, KafkaDriver | Scope.Scope>
) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* ProxiedKafka.Proxy
    const id = randomUUID().slice(0, 8)
    const [input, output, dead, groupId] = [
      `input-${id}`,
      `output-${id}`,
      `dead-${id}`,
      `group-${id}`
    ]
    yield* kafka.createTopic(input, { partitions })
    yield* kafka.createTopic(output, { partitions })
    yield* kafka.createTopic(dead)
    const written: Array<string> = []
    const direct = driver(kafka.bootstrapServers)
    const visible = (topic: string) => LogReader.visibleValues(kafka, topic)
    const bench: Bench = {
      kafka,
      direct,
      proxy,
      input,
      output,
      dead,
      groupId,
      write: (perPartition) =>
        Effect.scoped(Effect.gen(function*() {
          const { session } = yield* Steps.open(`writer-${id}`)
          const batches = Array.from({ length: partitions }, (_, partition) =>
            Steps.batch(
              input,
              partition,
              ...Array.from(
                { length: perPartition },
                (_, index) => `${id} ${partition} ${written.length + index}`
              )
            ))
          yield* Steps.transact(session, batches, "commit")
          const decoder = new TextDecoder()
          for (const { records } of batches) {
            written.push(...records.map(({ value }) => decoder.decode(value ?? undefined)))
          }
        })).pipe(Effect.provide(direct)),
      start: (changes) =>
        ExactlyOnce.make({
          groupId,
          input: Topic.make({ name: input, key: Topic.text, value: Topic.text }),
          process: copy,
          batch: { records: 50 },
          ...changes,
          consumer: { groupProtocol, ...changes?.consumer }
        }),
      awaitDone: Steps.until(
        Effect.gen(function*() {
          const logs = yield* LogReader.read(kafka, input)
          const ends = logs.map((log) => [log.partition, log.highWatermark] as const)
          const committed = new Map(
            (yield* LogReader.committedOffsets(kafka, groupId))
              .filter(({ topic }) => topic === input)
              .map(({ offset, partition }) => [partition, offset])
          )
          // What is committed may stand before a marker at the very end.
          return ends.every(([partition, end]) => (committed.get(partition) ?? 0n) >= end - 1n)
          // While a transaction has positions pending the broker answers none (88).
        }).pipe(Effect.orElseSucceed(() => false)),
        (isDone) => isDone
      ).pipe(Effect.map((isDone) => assert.isTrue(isDone, "the group is not at the end"))),
      visible,
      assertCopied: Effect.map(visible(output), (values) =>
        assert.deepStrictEqual(values, written.toSorted()))
    }
    yield* Effect.scoped(test(bench)).pipe(Effect.provide(driver(proxy.addresses)))
  })
