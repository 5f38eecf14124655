import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { FetchedRecord } from "../../ConsumerDriver.ts"
import type { Settings } from "../../ExactlyOnceOptions.ts"
import { KafkaError, Misconfigured, UndecodableRecord } from "../../KafkaError.ts"
import type { ProducerRecord } from "../../ProducerRecord.ts"
import type * as Topic from "../../Topic.ts"
import { Transaction } from "../../Transaction.ts"
import { CurrentCommitGuard } from "../commitGuard.ts"
import { deadLetter, describeError, type Verdict } from "./deadLetter.ts"
import type { PipelineMetrics } from "./pipelineMetrics.ts"
import type { Part } from "./workLane.ts"

/**
 * A part of a transaction that has failed, with what it failed with.
 */
export class PartFailed<E> extends Data.TaggedError("PartFailed")<{
  readonly part: Part
  readonly error: E | KafkaError
}> {}

/**
 * Gives a part's records to the program, inside the transaction that carries their offsets. What
 * does not decode, and the one record that is known to fail, go to the dead-letter topic instead.
 */
export const processPart = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  metrics: PipelineMetrics,
  transaction: Transaction["Service"],
  part: Part
): Effect.Effect<void, PartFailed<E>, Exclude<R, Transaction>> =>
  Effect.gen(function*() {
    const watched = watch(settings, transaction, part)
    const { suspicion } = part.work
    if (suspicion._tag === "Condemned" && suspicion.offset === part.records[0]!.offset) {
      const { attempts, error } = suspicion
      const verdict = { attempts, ...describeError(error) }
      return yield* bury(settings, metrics, watched, part, [[part.records[0]!, verdict]])
    }
    const { partition, topic } = part.work.lane
    const { letters, records } = yield* decodeAll(settings, part)
    if (letters.length > 0) yield* bury(settings, metrics, watched, part, letters)
    if (records.length === 0) return
    const processing = settings.process({ topic, partition, records }).pipe(
      Effect.provideService(Transaction, watched),
      // A transaction of another producer, which `process` may begin, is none of the pipeline's.
      Effect.provideService(CurrentCommitGuard, null)
    )
    yield* Effect.withSpan(processing, `process ${topic}`, {
      kind: "consumer",
      captureStackTrace: false,
      attributes: {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.consumer.group.name": settings.groupId,
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": String(partition),
        "messaging.batch.message_count": records.length
      }
    })
    yield* Metric.update(metrics.processedRecords, records.length)
  }).pipe(Effect.mapError((error) => new PartFailed<E>({ part, error })))

/**
 * The transaction as `process` sees it: it refuses a record that the pipeline would read again, and
 * notes failures that are the cluster's, because what the program makes of one is no poison.
 */
const watch = <K, V, E, R>(
  { input }: Settings<K, V, E, R>,
  transaction: Transaction["Service"],
  part: Part
): Transaction["Service"] => {
  const noted = <A>(effect: Effect.Effect<A, KafkaError>) =>
    Effect.tapError(effect, (error) =>
      Effect.sync(() => {
        if (error.recovery === "retry" || error.recovery === "resolve") part.passing ??= error
      }))
  return Transaction.of({
    transactionalId: transaction.transactionalId,
    outcome: transaction.outcome,
    sendOffsets: (offsets) => noted(transaction.sendOffsets(offsets)),
    send: (records) => {
      const looping = Array.isArray(records)
        ? records.find((record) => input.has(record?.topic))
        : undefined
      return looping === undefined
        ? noted(transaction.send(records))
        : Effect.fail(loop(looping.topic))
    }
  })
}

const loop = (topic: string): KafkaError =>
  new KafkaError({
    operation: "send",
    reason: new Misconfigured({
      setting: "input",
      value: JSON.stringify(topic),
      problem: "is also an output of the pipeline, which would read its own records for ever"
    })
  })

type Letter = readonly [FetchedRecord, Verdict]

const bury = <K, V, E, R>(
  { deadLetterTopic, groupId }: Settings<K, V, E, R>,
  metrics: PipelineMetrics,
  transaction: Transaction["Service"],
  part: Part,
  letters: ReadonlyArray<Letter>
): Effect.Effect<void, KafkaError> => {
  if (deadLetterTopic === null) return Effect.void
  const records: ReadonlyArray<ProducerRecord> = letters.map(([record, verdict]) =>
    deadLetter(deadLetterTopic, groupId, part.work.lane, record, verdict)
  )
  return transaction.send(records).pipe(
    Effect.andThen(Metric.update(metrics.deadLetters, records.length))
  )
}

interface DecodedPart<K, V> {
  readonly records: ReadonlyArray<Topic.Decoded<K, V>>
  readonly letters: ReadonlyArray<Letter>
}

const decodeAll = <K, V, E, R>(
  settings: Settings<K, V, E, R>,
  part: Part
): Effect.Effect<DecodedPart<K, V>, KafkaError> =>
  Effect.gen(function*() {
    const { partition, topic } = part.work.lane
    const codecs = settings.input.get(topic)!
    const records: Array<Topic.Decoded<K, V>> = []
    const letters: Array<Letter> = []
    for (const record of part.records) {
      const key = yield* exitOf(codecs.key.decode(record.key, topic))
      const value = yield* exitOf(codecs.value.decode(record.value, topic))
      if (Exit.isSuccess(key) && Exit.isSuccess(value)) {
        const { headers, offset, timestamp } = record
        records.push({
          topic,
          partition,
          offset,
          timestamp,
          headers,
          key: key.value,
          value: value.value
        })
        continue
      }
      // One of the two has failed.
      const { cause, where } = Exit.isFailure(key)
        ? { cause: key.cause, where: "key" as const }
        : { cause: (value as Exit.Failure<V, Topic.CodecError>).cause, where: "value" as const }
      const error = Option.getOrNull(Cause.findErrorOption(cause))
      // A codec that dies, or is interrupted, says nothing about the record.
      if (error === null) return yield* Effect.failCause(cause as Cause.Cause<never>)
      const { problem } = error
      if (settings.deadLetterTopic === null) {
        const { offset } = record
        const reason = new UndecodableRecord({ topic, partition, offset, part: where, problem })
        return yield* Effect.fail(new KafkaError({ operation: "consume", reason }))
      }
      const message = `the ${where} ${problem}`
      letters.push([record, { error: "UndecodableRecord", message, attempts: 1 }])
    }
    return { records, letters }
  })

/**
 * How an effect ends. One that has ended already, as most codecs answer, takes no step of its own;
 * the guard says that of it, and forgets of what.
 */
const exitOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
  Exit.isExit(effect) ? Effect.succeed(effect as Exit.Exit<A, E>) : Effect.exit(effect)
