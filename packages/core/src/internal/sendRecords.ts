import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Tracer from "effect/Tracer"
import { type KafkaError, UnknownTopic } from "../KafkaError.ts"
import type { ProducerRecord } from "../ProducerRecord.ts"
import type { RecordMetadata } from "../RecordMetadata.ts"
import { encodeAll, type SizedRecord } from "./encodeRecord.ts"
import { noteSilence } from "./liveSession.ts"
import { note, type OpenTransaction, recordFailure, refusal, taint } from "./openTransaction.ts"
import { partitionOfKey } from "./partitioner.ts"
import type { PlacedRecord } from "./sendQueue.ts"
import { endSpan, traceHeaderOf, withSendSpan } from "./telemetry.ts"

/**
 * Sends records, and answers when the broker has.
 */
export const send = (
  transaction: OpenTransaction,
  records: ReadonlyArray<ProducerRecord>
): Effect.Effect<ReadonlyArray<RecordMetadata>, KafkaError> => {
  const { clock, core, span: parent } = transaction
  const { traceHeaders: inHeaders, transactionalId } = core.settings
  return withSendSpan({ transactionalId, parent, inHeaders, records }, (span) => {
    const refused = refusal(transaction, "send", transaction.ended)
    const isSending = refused === null && !(Array.isArray(records) && records.length === 0)
    if (isSending) {
      transaction.sendsUnderWay += 1
      Latch.closeUnsafe(transaction.quiet)
    }
    const sending = refused !== null
      ? Effect.fail(refused)
      : isSending
      ? sendAll(transaction, records, span)
      : Effect.succeed([])
    return Effect.onExit(sending, (exit) => {
      if (isSending) noteSent(transaction, exit)
      if (span !== null) endSpan(span, clock, exit)
      return Effect.void
    })
  })
}

const noteSent = (transaction: OpenTransaction, exit: Exit.Exit<unknown, unknown>): void => {
  // Interrupted, or died: either way it is not known to have been done.
  if (Exit.isFailure(exit) && !Exit.hasFails(exit) && !transaction.decided) {
    transaction.interruptedSend = true
    note(transaction, "SendFailed")
  }
  transaction.sendsUnderWay -= 1
  if (transaction.sendsUnderWay === 0) Latch.openUnsafe(transaction.quiet)
}

/**
 * Hands records to the queue, in the order of the calls. Where every topic is known and there is
 * room, which is nearly always, it does so at once: hundreds of calls may send one record each.
 */
const sendAll = (
  transaction: OpenTransaction,
  records: ReadonlyArray<ProducerRecord>,
  span: Tracer.Span | null
): Effect.Effect<ReadonlyArray<RecordMetadata>, KafkaError> =>
  Effect.suspend(() => {
    const { clock, core, queue } = transaction
    const header = core.settings.traceHeaders && span !== null ? traceHeaderOf(span) : null
    const encoded = encodeAll(records, clock.currentTimeMillisUnsafe(), header)
    if (Result.isFailure(encoded)) return taint(transaction, "send", encoded.failure)
    const counts = new Map<string, number>()
    const unknown: Array<string> = []
    for (const { partition, topic } of encoded.success) {
      if (unknown.includes(topic)) continue
      const count = counts.get(topic) ?? core.topics.known(topic, clock)
      // A partition beyond those that are known may be new.
      if (count === null || (partition ?? 0) >= count) unknown.push(topic)
      else counts.set(topic, count)
    }
    return unknown.length === 0 && queue.hasRoom() && transaction.placing === null
      ? enqueue(transaction, encoded.success, counts)
      : inTurn(transaction, (before) =>
        Effect.map(
          prepare(transaction, { before, counts, unknown }),
          () => enqueue(transaction, encoded.success, counts)
        ))
  })

/** What is asked for one call may take longer than for the next, which must not overtake it. */
const inTurn = <A, E>(
  transaction: OpenTransaction,
  place: (before: Deferred.Deferred<void> | null) => Effect.Effect<Effect.Effect<A, E>, E>
): Effect.Effect<A, E> => {
  const before = transaction.placing
  const placed = Deferred.makeUnsafe<void>()
  transaction.placing = placed
  const done = () => {
    if (transaction.placing === placed) transaction.placing = null
    Deferred.doneUnsafe(placed, Effect.void)
  }
  return Effect.flatten(Effect.onExit(place(before), () => Effect.sync(done)))
}

interface Preparation {
  readonly before: Deferred.Deferred<void> | null
  readonly unknown: ReadonlyArray<string>
  readonly counts: Map<string, number>
}

const prepare = (
  transaction: OpenTransaction,
  { before, counts, unknown }: Preparation
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    for (const topic of unknown) counts.set(topic, yield* askPartitionCount(transaction, topic))
    if (before !== null) yield* Deferred.await(before)
    yield* transaction.queue.awaitRoom
    // Something else may have failed while this send waited. That the body has ended meanwhile is
    // no reason to drop the records: the settling waits for every send that was under way.
    const refused = refusal(transaction, "send", transaction.decided)
    if (refused !== null) return yield* Effect.fail(refused)
  })

const enqueue = (
  transaction: OpenTransaction,
  sized: ReadonlyArray<SizedRecord>,
  counts: ReadonlyMap<string, number>
): Effect.Effect<ReadonlyArray<RecordMetadata>, KafkaError> => {
  const placed: Array<PlacedRecord> = []
  for (const record of sized) {
    const one = place(transaction, record, counts.get(record.topic)!)
    if (one === null) return refusePartition(transaction, record)
    placed.push(one)
  }
  transaction.asked = true
  return transaction.queue.send(placed)
}

const askPartitionCount = (
  transaction: OpenTransaction,
  topic: string
): Effect.Effect<number, KafkaError> =>
  Effect.catch(
    transaction.core.topics.ask(topic, transaction.clock),
    (error) =>
      Effect.andThen(
        noteSilence(transaction.core, error),
        Effect.suspend(() =>
          taint(transaction, "send", recordFailure(transaction, error, { topics: [topic] }))
        )
      )
  )

/**
 * Gives a record its partition, once: what is sent again keeps it. `null` where it asks for one
 * that its topic does not have.
 */
const place = (
  { core }: OpenTransaction,
  { bytes, encoded, partition, topic }: SizedRecord,
  count: number
): PlacedRecord | null => {
  if (partition !== undefined) {
    return partition < count ? { topic, partition, encoded, bytes } : null
  }
  const chosen = encoded.key === null
    ? core.chooseSticky(topic, count, bytes)
    : partitionOfKey(encoded.key, count)
  return { topic, partition: chosen, encoded, bytes }
}

const refusePartition = (
  transaction: OpenTransaction,
  { partition, topic }: SizedRecord
): Effect.Effect<never, KafkaError> => {
  // The topic may have grown since it was asked; the next send asks again.
  transaction.core.topics.forget(topic)
  return taint(
    transaction,
    "send",
    new UnknownTopic({ topic, ...(partition === undefined ? {} : { partition }) })
  )
}
