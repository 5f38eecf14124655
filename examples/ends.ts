/**
 * Where an input ends, and whether a group has come to that end.
 */
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { RecordMetadata } from "@kafka-once/core/RecordMetadata"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** The offset behind the last record, by partition. */
export type Ends = Map<number, bigint>

/** A group that does not come to the end of its input. */
export class NotDone extends Data.TaggedError("NotDone")<{
  readonly groupId: string
  readonly limit: Duration.Duration
}> {
  override get message(): string {
    return `The group ${this.groupId} is not done after ${Duration.format(this.limit)}.`
  }
}

/** Notes where records have been written. */
export const note = (ends: Ends, written: ReadonlyArray<RecordMetadata>): void => {
  for (const { offset, partition } of written) {
    if (offset >= (ends.get(partition) ?? 0n)) ends.set(partition, offset + 1n)
  }
}

/** Waits until the offsets that a group has committed in a topic are behind its ends. */
export const awaitCommitted = (
  groupId: string,
  topic: string,
  ends: Ends,
  limit: Duration.Duration
) =>
  KafkaDriver.use(({ committedOffsets }) =>
    committedOffsets(groupId, [...ends.keys()].map((partition) => ({ topic, partition })))
  ).pipe(
    Effect.map((all) =>
      all.every(({ offset, partition }) => offset !== null && offset >= ends.get(partition)!)
    ),
    // The broker does not tell while a transaction has offsets pending.
    Effect.orElseSucceed(() => false),
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("200 millis") }),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () => Effect.fail(new NotDone({ groupId, limit }))
    })
  )
