import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type { Appended, DriverError, EncodedRecord, ProducerSession } from "../KafkaDriver.ts"
import type { KafkaError } from "../KafkaError.ts"
import type { Settings } from "../ProducerOptions.ts"
import type { RecordMetadata } from "../RecordMetadata.ts"
import { toKey } from "../TopicPartition.ts"
import { isUnanswered, verdictOf } from "./classify.ts"
import { Exhausted, untilDeadline } from "./repeat.ts"

/**
 * A record with its partition.
 */
export interface PlacedRecord {
  readonly topic: string
  readonly partition: number
  readonly encoded: EncodedRecord
  readonly bytes: number
}

/**
 * The records of one request for one partition, with the calls that wait for them.
 */
export interface Batch {
  readonly topic: string
  readonly partition: number
  readonly records: ReadonlyArray<EncodedRecord>
  readonly bytes: number
  readonly waiters: ReadonlyArray<Waiter>
}

interface Waiter {
  readonly call: Call
  readonly index: number
}

/**
 * One `send`: it is done when the broker has answered for each of its records.
 */
interface Call {
  readonly metadata: Array<RecordMetadata>
  readonly done: Deferred.Deferred<ReadonlyArray<RecordMetadata>, KafkaError>
  missing: number
}

interface Lane {
  readonly topic: string
  readonly partition: number
  readonly records: Array<PlacedRecord>
  readonly waiters: Array<Waiter>
}

/**
 * What the queue tells its transaction.
 */
export interface Listener {
  readonly prepare: Effect.Effect<void, DriverError>
  readonly appended: (batch: Batch, appended: Appended) => void
  readonly failed: (batch: Batch, error: DriverError | Exhausted) => KafkaError
  readonly unanswered: () => void
}

/**
 * The records of one transaction on their way to the broker.
 *
 * One request is on its way at a time, so no partition ever has two (I11). What arrives meanwhile
 * waits, and travels together in the next request: that is the batching, and there is no timer. A
 * request is bounded in records and bytes; what does not fit goes with the one after it.
 */
export interface SendQueue {
  /** Takes the records at once; what it gives starts them and waits for their answers. */
  readonly send: (
    records: ReadonlyArray<PlacedRecord>
  ) => Effect.Effect<ReadonlyArray<RecordMetadata>, KafkaError>
  readonly hasRoom: () => boolean
  readonly awaitRoom: Effect.Effect<void>
  readonly awaitIdle: Effect.Effect<void>
  readonly isIdle: () => boolean
  readonly discard: (why: KafkaError) => void
  readonly stop: Effect.Effect<void>
}

// One request carries batches for several partitions; this many times the bound of one of them.
const batchesPerRequest = 16

/**
 * Makes the queue of one transaction.
 */
export const make = (
  session: ProducerSession,
  settings: Settings,
  listener: Listener
): SendQueue => {
  const lanes = new Map<string, Lane>()
  const idle = Latch.makeUnsafe(true)
  const room = Latch.makeUnsafe(true)
  let pendingBytes = 0
  // Records that follow each other are mostly for one partition, whose lane need not be looked up.
  let last: Lane | null = null
  let flushing: Fiber.Fiber<void> | null = null

  const setPending = (bytes: number) => {
    pendingBytes = bytes
    if (pendingBytes <= settings.maxPendingBytes) Latch.openUnsafe(room)
    else Latch.closeUnsafe(room)
  }

  const discard = (why: KafkaError) => {
    for (const lane of lanes.values()) {
      for (const waiter of lane.waiters) {
        Deferred.doneUnsafe(waiter.call.done, Effect.fail(why))
      }
    }
    lanes.clear()
    last = null
    setPending(0)
  }

  const flush: Effect.Effect<void> = Effect.suspend(() => {
    const batches = takeRequest(lanes, settings)
    // It may have left.
    last = null
    if (batches.length === 0) {
      becomeIdle()
      return Effect.void
    }
    setPending(pendingBytes - batches.reduce((sum, batch) => sum + batch.bytes, 0))
    const answered: Array<Call> = []
    let isLast = false
    return deliver(session, settings, listener, batches, answered).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          // The transaction cannot commit any more, so what waits is not sent: each further request
          // could take as long to fail as this one did.
          if (Exit.isSuccess(exit) && exit.value !== null) discard(exit.value)
          // Idle before the callers hear of it: a settling that follows at once need not wait.
          isLast = Exit.isSuccess(exit) && lanes.size === 0
          if (isLast) becomeIdle()
          answer(answered)
        })
      ),
      Effect.flatMap(() => isLast ? Effect.void : flush)
    )
  })

  const becomeIdle = () => {
    flushing = null
    Latch.openUnsafe(idle)
  }

  // Of those that wait together the first may fill the room again, so each looks once more.
  const awaitRoom: Effect.Effect<void> = Effect.suspend(() =>
    Latch.isOpen(room) ? Effect.void : Effect.andThen(Latch.await(room), awaitRoom)
  )

  return {
    send: (records) => {
      const call: Call = {
        metadata: [],
        done: Deferred.makeUnsafe(),
        missing: records.length
      }
      let bytes = 0
      for (let index = 0; index < records.length; index++) {
        const record = records[index]!
        bytes += record.bytes
        if (last?.partition !== record.partition || last.topic !== record.topic) {
          last = laneOf(lanes, record)
        }
        last.records.push(record)
        last.waiters.push({ call, index })
      }
      setPending(pendingBytes + bytes)
      const wait = Deferred.await(call.done)
      // What is under way does not end before it has taken these.
      if (!Latch.isOpen(idle)) return wait
      return Effect.suspend(() => {
        if (!Latch.isOpen(idle)) return wait
        Latch.closeUnsafe(idle)
        // Detached, because the records of other callers travel in the same request: it must not
        // end with the caller that happened to be first. The settling waits for it, or stops it,
        // and therefore an interruption must not come between its start and its being noted.
        const start = Effect.uninterruptible(Effect.map(Effect.forkDetach(flush), (fiber) => {
          if (!Latch.isOpen(idle)) flushing = fiber
        }))
        return Effect.andThen(start, wait)
      })
    },
    hasRoom: () => Latch.isOpen(room),
    awaitRoom,
    awaitIdle: Latch.await(idle),
    isIdle: () => Latch.isOpen(idle),
    discard,
    stop: Effect.suspend(() =>
      flushing === null
        ? Effect.void
        : Effect.andThen(Fiber.interrupt(flushing), Effect.sync(becomeIdle))
    )
  }
}

const laneOf = (lanes: Map<string, Lane>, record: PlacedRecord): Lane => {
  const key = toKey(record)
  let lane = lanes.get(key)
  if (lane === undefined) {
    lane = { topic: record.topic, partition: record.partition, records: [], waiters: [] }
    lanes.set(key, lane)
  }
  return lane
}

/**
 * Takes from each partition what fits into one request.
 */
const takeRequest = (lanes: Map<string, Lane>, settings: Settings): ReadonlyArray<Batch> => {
  const batches: Array<Batch> = []
  let left = settings.maxRequestBytes * batchesPerRequest
  for (const [key, lane] of lanes) {
    if (left <= 0) break
    const batch = takeBatch(lane, settings)
    left -= batch.bytes
    batches.push(batch)
    if (lane.records.length === 0) lanes.delete(key)
  }
  return batches
}

const takeBatch = (lane: Lane, settings: Settings): Batch => {
  const { records, waiters } = lane
  let count = 0
  let bytes = 0
  while (count < records.length && count < settings.maxRequestRecords) {
    const next = records[count]!.bytes
    // A record larger than the bound goes alone: only the broker knows what it takes.
    if (count > 0 && bytes + next > settings.maxRequestBytes) break
    bytes += next
    count++
  }
  return {
    topic: lane.topic,
    partition: lane.partition,
    records: records.splice(0, count).map((record) => record.encoded),
    bytes,
    waiters: waiters.splice(0, count)
  }
}

/**
 * Sends one request until every batch of it is answered for good, and tells the first failure. What
 * is sent again is exactly the batches that failed, so that the driver can keep their sequences.
 */
const deliver = (
  session: ProducerSession,
  settings: Settings,
  listener: Listener,
  batches: ReadonlyArray<Batch>,
  answered: Array<Call>
): Effect.Effect<KafkaError | null> => {
  let outstanding = batches
  let first: KafkaError | null = null

  const fail = (batch: Batch, error: DriverError | Exhausted) => {
    const failure = listener.failed(batch, error)
    first ??= failure
    for (const waiter of batch.waiters) {
      Deferred.doneUnsafe(waiter.call.done, Effect.fail(failure))
    }
  }

  const attempt = Effect.flatMap(
    Effect.andThen(listener.prepare, Effect.suspend(() => session.send(outstanding))),
    (answers) => {
      const { again, last } = sortAnswers(outstanding, answers, listener, fail, answered)
      outstanding = again
      // Who has an answer does not wait for what is sent again.
      if (again.length > 0) answer(answered)
      return last === null ? Effect.void : Effect.fail(last)
    }
  )

  return untilDeadline({
    request: "Produce",
    limit: settings.deliveryTimeout,
    attempt,
    onUnanswered: listener.unanswered
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        for (const batch of outstanding) fail(batch, error)
      })
    ),
    // Stopped by the settling: nobody may wait for ever.
    Effect.onExit((exit) =>
      Exit.isSuccess(exit) ? Effect.void : Effect.sync(() => {
        listener.unanswered()
        const afterMillis = Duration.toMillis(settings.deliveryTimeout)
        const error = new Exhausted({ request: "Produce", afterMillis, last: null })
        for (const batch of outstanding) fail(batch, error)
      })
    ),
    Effect.map(() => first)
  )
}

/**
 * Takes each batch's answer, and tells which calls are answered, and which batches are to be sent
 * again and why.
 */
const sortAnswers = (
  batches: ReadonlyArray<Batch>,
  answers: ReadonlyArray<Result.Result<Appended, DriverError>>,
  listener: Listener,
  fail: (batch: Batch, error: DriverError) => void,
  answered: Array<Call>
): { readonly again: ReadonlyArray<Batch>; readonly last: DriverError | null } => {
  const again: Array<Batch> = []
  let last: DriverError | null = null
  for (let i = 0; i < batches.length; i++) {
    const batch = batches[i]!
    const answer = answers[i]!
    if (Result.isSuccess(answer)) {
      succeed(batch, answer.success, answered)
      listener.appended(batch, answer.success)
      continue
    }
    const error = answer.failure
    const verdict = verdictOf(error)
    if (isUnanswered(error)) listener.unanswered()
    if (verdict === "success") {
      const appended = { baseOffset: -1n, logAppendTime: -1n }
      succeed(batch, appended, answered)
      listener.appended(batch, appended)
    } else if (verdict === "retry" || verdict === "refresh") {
      again.push(batch)
      last = error
    } else {
      fail(batch, error)
    }
  }
  return { again, last }
}

const succeed = (batch: Batch, appended: Appended, answered: Array<Call>): void => {
  const { records, waiters, topic, partition } = batch
  for (let i = 0; i < waiters.length; i++) {
    const { call, index } = waiters[i]!
    call.metadata[index] = {
      topic,
      partition,
      offset: appended.baseOffset < 0n ? -1n : appended.baseOffset + BigInt(i),
      timestamp: appended.logAppendTime < 0n ? records[i]!.timestamp : appended.logAppendTime
    }
    call.missing -= 1
    if (call.missing === 0) answered.push(call)
  }
}

/**
 * Lets callers go on whose records have all been acknowledged.
 */
const answer = (answered: Array<Call>): void => {
  for (const { done, metadata } of answered.splice(0)) {
    Deferred.doneUnsafe(done, Effect.succeed(metadata))
  }
}
