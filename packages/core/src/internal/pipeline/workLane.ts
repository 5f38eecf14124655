import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import type { FetchedBatch, FetchedRecord } from "../../ConsumerDriver.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Lane } from "../consumer/lane.ts"
import type { Member } from "../consumer/member.ts"
import { take } from "../consumer/positions.ts"
import type { RetryStep } from "./retries.ts"
import * as Suspicion from "./suspicion.ts"

/**
 * A partition in a pipeline: what has been taken of it and not processed, and what is held against
 * its next records.
 */
export interface WorkLane {
  readonly lane: Lane
  readonly member: Member
  /** What has been taken; the feeder takes the next batch when it is used up. */
  hand: FetchedBatch | null
  /** Open while {@link hand} is empty. */
  readonly hungry: Latch.Latch
  feeder: Fiber.Fiber<void, KafkaError> | null
  /** It has to be read again from the committed position before anything else. */
  isUnplaced: boolean
  suspicion: Suspicion.Suspicion
  /** The schedule of the retries that are under way. */
  retryStep: RetryStep | null
  /** Not to be tried before. */
  dueAtMillis: number
  /** Transactions in a row, from one position, that failed in a way that waiting may not cure. */
  stubborn: number
  /** Completed when the pipeline has let it go. */
  readonly left: Deferred.Deferred<void>
}

/**
 * Makes the work of a lane that has not been read yet.
 */
export const make = (member: Member, lane: Lane): WorkLane => ({
  lane,
  member,
  hand: null,
  hungry: Latch.makeUnsafe(true),
  feeder: null,
  isUnplaced: true,
  suspicion: Suspicion.trusted,
  retryStep: null,
  dueAtMillis: 0,
  stubborn: 0,
  left: Deferred.makeUnsafe()
})

/**
 * Records of one partition that go into one transaction.
 */
export interface Part {
  readonly work: WorkLane
  readonly records: Array<FetchedRecord>
  /** Where the next part starts. */
  next: bigint
  bytes: number
  /** A failure of the cluster's that the program has met in it, whatever it made of it. */
  passing: KafkaError | null
}

/**
 * Takes records of a lane while a transaction goes on with those that were taken before; one batch
 * ahead, because fetching ahead is the driver's.
 */
export const startFeeder = (
  work: WorkLane,
  onFed: () => void,
  onFailed: (error: KafkaError) => void
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const feeding = Effect.gen(function*() {
      for (;;) {
        yield* Latch.await(work.hungry)
        const batch = yield* take(work.member, work.lane)
        if (batch === null) return
        if (batch.records.length === 0) continue
        yield* Metric.update(work.member.metrics.consumedRecords, batch.records.length)
        work.hand = batch
        Latch.closeUnsafe(work.hungry)
        onFed()
      }
    })
    work.feeder = yield* feeding.pipe(
      Effect.tapError((error) => Effect.sync(() => onFailed(error))),
      Effect.forkIn(work.member.scope)
    )
  })

/**
 * Stops taking records of a lane, and drops what was taken.
 */
export const stopFeeder = (work: WorkLane): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { feeder } = work
    work.feeder = null
    // First: until it has ended it may still put something into the hand.
    if (feeder !== null) yield* Fiber.interrupt(feeder)
    work.hand = null
    Latch.openUnsafe(work.hungry)
  })

/**
 * Moves records from a lane's hand into a part, at most so many and about so many bytes, but at
 * least one.
 */
export const moveInto = (part: Part, maxRecords: number, maxBytes: number): void => {
  const { work } = part
  const batch = work.hand
  if (batch === null) return
  const { bytes, nextOffset, records } = batch
  const averageBytes = Math.max(1, bytes / records.length)
  const count = Math.max(
    1,
    Math.min(records.length, maxRecords, Math.floor(maxBytes / averageBytes))
  )
  const taken = count === records.length ? records : records.slice(0, count)
  for (const record of taken) part.records.push(record)
  const rest = records.slice(count)
  const takenBytes = Math.round(averageBytes * count)
  part.bytes += takenBytes
  if (rest.length === 0) {
    part.next = nextOffset
    work.hand = null
    Latch.openUnsafe(work.hungry)
  } else {
    part.next = rest[0]!.offset
    work.hand = { ...batch, position: part.next, records: rest, bytes: bytes - takenBytes }
  }
}
