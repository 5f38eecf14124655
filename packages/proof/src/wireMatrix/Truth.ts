/**
 * What a case leaves in the log and at the coordinators, read by no driver.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as LogReader from "../LogReader.ts"
import type { Row } from "./Case.ts"
import * as Runs from "./Runs.ts"
import type { Stage } from "./Stage.ts"

/**
 * What is wrong in the log: every committed transaction must be there once and whole, nothing of
 * another one may be visible, and nothing may be open. Whether the faulted transaction committed is
 * `null` where nobody knows; then all or nothing of it must be there.
 *
 * @category operations
 * @since 0.1.0
 */
export const problems = (
  stage: Stage,
  { work }: Row,
  isCommitted: boolean | null
): Effect.Effect<ReadonlyArray<string>, LogReaderFailure, EmbeddedKafka.EmbeddedKafka> =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const visible = [...yield* LogReader.visibleValues(kafka, stage.topic)]
    if (work === "new topic") {
      visible.push(...yield* LogReader.visibleValues(kafka, stage.otherTopic))
    }
    const moved: Array<string> = []
    for (const group of stage.groups) {
      const offsets = yield* committedOffsets(kafka, group)
      moved.push(...offsets.map(({ offset }) => `${group} at ${offset}`))
    }
    const others = [...Runs.valuesOf("T1", "records"), ...Runs.valuesOf("T3", "records")]
    const committed = {
      visible: [...others, ...Runs.valuesOf("T2", work)].sort(),
      moved: Runs.groupsOf(stage, work).map((group) => `${group} at 42`)
    }
    const aborted = { visible: others.sort(), moved: [] }
    const allowed = isCommitted === null
      ? [committed, aborted]
      : [isCommitted ? committed : aborted]
    const found = JSON.stringify({ visible: visible.sort(), moved })
    const open = yield* LogReader.openTransactions(kafka, stage.options.transactionalId)
    return [
      ...(allowed.some((one) => JSON.stringify(one) === found)
        ? []
        : [`the log has ${found} in place of ${JSON.stringify(allowed[0])}`]),
      ...open.map(({ state, transactionalId }) => `${transactionalId} is left ${state}`)
    ]
  })

/**
 * Waits until the last transaction of the id is complete at its coordinator: until then the next
 * one is answered with CONCURRENT_TRANSACTIONS, and the requests of a case could not be counted.
 *
 * @category operations
 * @since 0.1.0
 */
export const awaitComplete = ({ options: { transactionalId } }: Stage) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    yield* LogReader.describeTransaction(kafka, transactionalId).pipe(
      Effect.repeat({
        until: ({ state }) => state === "CompleteCommit",
        schedule: Schedule.spaced("10 millis"),
        times: 200
      })
    )
  })

type LogReaderFailure = Effect.Error<ReturnType<typeof LogReader.read>>

/** A group's offsets are not stable until the markers of its last transaction are written. */
const committedOffsets = (at: LogReader.At, group: string) =>
  LogReader.committedOffsets(at, group).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 100 })
  )
