/**
 * What a test of pipelines under faults stands on: an input that is written by a recorded producer,
 * an output, histories of everybody, and the checker at the end.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as FinalState from "./FinalState.ts"
import * as HistoryChecker from "./HistoryChecker.ts"
import * as HistoryIndex from "./HistoryIndex.ts"
import * as HistoryRecorder from "./HistoryRecorder.ts"
import * as LogReader from "./LogReader.ts"
import * as PipelineHistory from "./PipelineHistory.ts"
import { memberOf, timeouts } from "./PipelineProgram.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as RecordedProducer from "./RecordedProducer.ts"

/**
 * What one test works with.
 *
 * **Details**
 *
 * *Shape*
 * - `write`: so many more records in each of the first `partitions` partitions of the input, in one
 *   transaction.
 * - `next`: the number in the history, and the file, of a pipeline that is about to start.
 * - `killed`: tells the history that a process did not end by itself.
 * - `awaitDone`: waits until the group has everything behind it; `assertExact` holds the logs and
 *   the coordinators against all histories: no anomaly, and an output for each input.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bench {
  readonly kafka: EmbeddedKafka.EmbeddedKafka["Service"]
  readonly input: string
  readonly output: string
  readonly groupId: string
  readonly groupProtocol: GroupProtocolName
  readonly run: number
  readonly write: (perPartition: number, partitions?: number) => Effect.Effect<void, unknown>
  readonly next: () => { readonly process: number; readonly file: string }
  readonly killed: (process: number) => void
  readonly awaitDone: Effect.Effect<void, unknown>
  readonly assertExact: Effect.Effect<void, unknown>
}

/**
 * How a bench is made.
 *
 * **Details**
 *
 * *Shape*: `groupProtocol` is that of the members which `startMember` starts, `"classic"` where it
 * is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly driver: DriverAt
  readonly partitions?: number
  readonly groupProtocol?: GroupProtocolName
}

/** What the group was not at the end of when time was over. */
class NotAtTheEnd extends Data.TaggedError("NotAtTheEnd")<{
  readonly left: ReadonlyArray<string>
}> {
  override get message(): string {
    return `not at the end within ${doneLimit}: ${this.left.join(", ")}`
  }
}

/** For the group to come to the end of its input, when every fault is over. */
const doneLimit = "60 seconds"

/**
 * Makes topics of its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { driver, groupProtocol = "classic", partitions = 4 }: Options
): Effect.Effect<Bench, unknown, EmbeddedKafka.EmbeddedKafka | Scope.Scope> =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const id = randomUUID().slice(0, 8)
    const run = Number.parseInt(id, 16)
    const [input, output, groupId] = [`input-${id}`, `output-${id}`, `group-${id}`]
    yield* kafka.createTopic(input, { partitions })
    yield* kafka.createTopic(output, { partitions })
    const directory = yield* temporary
    const files: Array<string> = []
    const next = () => {
      const file = join(directory, `history-${files.length}.jsonl`)
      files.push(file)
      return { process: files.length - 1, file }
    }
    const recorder = yield* HistoryRecorder.make({ ...next(), run })
    yield* sample(recorder, kafka, groupId).pipe(Effect.forkScoped)
    let written = 0
    const write = (perPartition: number, count = partitions) =>
      Effect.scoped(Effect.gen(function*() {
        const producer = yield* RecordedProducer.make(recorder, {
          transactionalId: `writer-${id}`
        })
        const records = Array.from({ length: perPartition * count }, (_, index) => ({
          topic: input,
          partition: index % count
        }))
        yield* producer.withTransaction(records.length, ({ send }) => send(records))
        written += records.length
      })).pipe(
        Effect.provide(
          Layer.provide(HistoryRecorder.sessions(recorder), driver(kafka.bootstrapServers))
        )
      )
    const assertExact = Effect.gen(function*() {
      yield* LogReader.readSettled(kafka, output)
      const state = yield* FinalState.read(kafka, {
        run,
        topics: [input, output],
        groups: [groupId],
        transactionalIdPrefix: `kafka-once.${groupId}`
      })
      const report = HistoryChecker.check(yield* HistoryIndex.read(files), state, {
        transactionTimeoutMillis: 5_000,
        pipeline: { group: groupId, inputTopic: input, outputTopics: [output] }
      })
      assert.isTrue(report.clean, HistoryChecker.render(report))
      // A clean report of nothing would show nothing.
      assert.strictEqual(report.records.visible, 2 * written)
      assert.isAbove(written, 0)
    })
    return {
      kafka,
      input,
      output,
      groupId,
      groupProtocol,
      run,
      write,
      next,
      killed: (target) =>
        recorder.tell({
          _tag: "nemesis",
          phase: "start",
          fault: "process",
          what: "SIGKILL",
          target
        }),
      awaitDone: awaitDone(kafka, input, groupId),
      assertExact
    }
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-pipeline-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** The group's positions of one topic; none while it cannot be asked. */
const positions = (kafka: LogReader.At, groupId: string) =>
  LogReader.committedOffsets(kafka, groupId).pipe(
    // While a transaction has positions pending the broker answers none (88).
    Effect.orElseSucceed((): ReadonlyArray<LogReader.CommittedOffset> => [])
  )

/** The positions as an observer sees them, of which none may go back (E4). */
const sample = (
  recorder: HistoryRecorder.HistoryRecorder,
  kafka: LogReader.At,
  group: string
) =>
  positions(kafka, group).pipe(
    Effect.map((rows) => {
      for (const { offset, partition, topic } of rows) {
        recorder.tell({ _tag: "group.offset", group, topic, partition, offset: Number(offset) })
      }
    }),
    Effect.repeat(Schedule.spaced("500 millis"))
  )

/** The partitions that the group is not at the end of, or what kept them from being read. */
const left = (kafka: LogReader.At, input: string, groupId: string) =>
  Effect.gen(function*() {
    const logs = yield* LogReader.read(kafka, input)
    const committed = new Map(
      (yield* positions(kafka, groupId))
        .filter(({ topic }) => topic === input)
        .map(({ offset, partition }) => [partition, offset])
    )
    return logs.flatMap(({ highWatermark, partition }) => {
      const position = committed.get(partition) ?? 0n
      // What is committed may stand before a marker at the very end.
      return position >= highWatermark - 1n
        ? []
        : [`${partition} at ${position} of ${highWatermark}`]
    })
  }).pipe(
    // A node may be down, or the event loop blocked.
    Effect.catch((error) => Effect.succeed([error.message]))
  )

const awaitDone = (kafka: LogReader.At, input: string, groupId: string) =>
  Effect.suspend(() => {
    let last: ReadonlyArray<string> = []
    return left(kafka, input, groupId).pipe(
      Effect.tap((now) =>
        Effect.sync(() => {
          last = now
        })
      ),
      Effect.repeat({
        until: (now) => now.length === 0,
        schedule: Schedule.spaced("100 millis")
      }),
      Effect.asVoid,
      Effect.timeoutOrElse({
        duration: doneLimit,
        orElse: () => Effect.fail(new NotAtTheEnd({ left: last }))
      })
    )
  })

/**
 * Starts a recorded member of the bench's group in this process, with short timeouts; each time one
 * with a number of its own in the history.
 *
 * @category operations
 * @since 0.1.0
 */
export const startMember = <E = never>(
  bench: Bench,
  { settings, ...changes }: Omit<
    Partial<PipelineHistory.Options<E>>,
    "file" | "run" | "process" | "groupId" | "input" | "output"
  > = {}
) => {
  const { groupId, groupProtocol, input, output, run } = bench
  return Effect.suspend(() =>
    PipelineHistory.make<E>({
      groupId,
      input,
      output,
      run,
      ...bench.next(),
      settings: {
        ...timeouts,
        consumer: memberOf(groupProtocol),
        batch: { records: 20 },
        ...settings
      },
      ...changes
    })
  )
}
