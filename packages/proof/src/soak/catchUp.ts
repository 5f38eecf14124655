/**
 * When a pipeline has everything behind it that is visible in its input.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as LogReader from "../LogReader.ts"
import type { PartitionLog } from "../PartitionLog.ts"

/** A pipeline that does not come to the end of its input, although nothing disturbs it. */
export class Behind extends Data.TaggedError("Behind")<{ readonly left: ReadonlyArray<string> }> {
  override get message(): string {
    return `the pipeline is not at the end of its input: ${this.left.join(", ")}`
  }
}

/** What is looked at in a part of a log. */
interface Part {
  readonly partition: number
  readonly batches: ReadonlyArray<
    & Pick<PartitionLog["batches"][number], "control" | "isTransactional" | "producerId">
    & { readonly records: ReadonlyArray<{ readonly offset: bigint }> }
  >
}

/** The last visible offset of each partition, learnt batch by batch. */
export interface Ends {
  readonly add: (part: Part) => void
  /** By partition; those without a visible record are missing. */
  readonly last: ReadonlyMap<number, bigint>
}

/** What aborted transactions and markers take at the end of a log is behind no position. */
export const ends = (): Ends => {
  const last = new Map<number, bigint>()
  const open = new Map<string, bigint>()
  return {
    last,
    add: ({ batches, partition }) => {
      const see = (offset: bigint | undefined) => {
        if (offset !== undefined) last.set(partition, max(last.get(partition) ?? -1n, offset))
      }
      for (const { control, isTransactional, producerId, records } of batches) {
        const writer = `${partition} ${producerId}`
        if (control === null) {
          const offset = records.at(-1)?.offset
          if (!isTransactional) see(offset)
          else if (offset !== undefined) open.set(writer, offset)
          continue
        }
        if (control === "commit") see(open.get(writer))
        open.delete(writer)
      }
    }
  }
}

const max = (one: bigint, other: bigint): bigint => one > other ? one : other

/** Waits until a group is behind all of a topic, to which nobody writes any more. */
export const awaitEnd = (
  at: LogReader.At,
  { group, topic, within }: {
    readonly group: string
    readonly topic: string
    readonly within: LogReader.At["limit"] & {}
  }
) =>
  Effect.gen(function*() {
    const { add, last } = ends()
    yield* LogReader.scan(at, topic, add)
    let left: ReadonlyArray<string> = []
    const look = Effect.gen(function*() {
      // While a transaction has positions pending the broker answers none (88).
      const rows = yield* LogReader.committedOffsets(at, group).pipe(Effect.orElseSucceed(() => []))
      const positions = new Map(
        rows.filter((row) => row.topic === topic).map((
          { offset, partition }
        ) => [partition, offset])
      )
      left = [...last].flatMap(([partition, offset]) => {
        const position = positions.get(partition) ?? 0n
        return position > offset ? [] : [`${partition} at ${position} of ${offset + 1n}`]
      })
      return left.length === 0
    })
    yield* look.pipe(
      Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("500 millis") }),
      Effect.timeoutOrElse({
        duration: within,
        orElse: () => Effect.fail(new Behind({ left }))
      })
    )
  })
