/**
 * Sending batches: one Produce request for each broker that leads some of them, one after the
 * other.
 */
import {
  type Appended,
  DriverError,
  type EncodedRecord,
  Failure,
  type PartitionBatch
} from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { CompressionTypes, type IHeaders, type Message, type RecordMetadata } from "kafkajs"
import type { Answer } from "./answer.ts"
import { topicOf } from "./cluster.ts"
import type { Session } from "./sessionState.ts"
import type { Call } from "./socketGate.ts"

type Answers = Map<string, Result.Result<Appended, DriverError>>

const produceKey = 0
const duplicateSequence = 46

/**
 * Sends each batch, one attempt.
 *
 * kafkajs counts sequences per request: where one partition of a Produce is refused, or no answer
 * comes, it takes back the sequences of all. So a batch that was appended beside a refused one must
 * be repeated with it, which the broker then recognises; it is told as failed, with the code of the
 * one that was refused. A batch is therefore never told as appended when kafkajs thinks otherwise.
 */
export const send = (
  session: Session,
  batches: ReadonlyArray<PartitionBatch>
): Effect.Effect<ReadonlyArray<Result.Result<Appended, DriverError>>> =>
  Effect.gen(function*() {
    const refusal = refusalOf(session, batches)
    if (refusal !== null) return batches.map(() => Result.fail(refusal))
    const answers: Answers = new Map()
    const leaders = yield* Effect.result(findLeaders(session, batches))
    if (Result.isFailure(leaders)) return batches.map(() => Result.fail(leaders.failure))
    for (const batch of leaders.success.missing) {
      answers.set(TopicPartition.toKey(batch), Result.fail(missingPartition(session, batch)))
    }
    let stopped: DriverError | null = null
    for (const group of leaders.success.groups) {
      const error: DriverError | null = stopped ?? (yield* sendGroup(session, group, answers))
      if (error === null) continue
      stopped = error
      for (const batch of group) {
        const key = TopicPartition.toKey(batch)
        if (!answers.has(key)) answers.set(key, Result.fail(error))
      }
    }
    return batches.map((batch) =>
      answers.get(TopicPartition.toKey(batch)) ?? Result.fail(refused("kafkajs lost the batch"))
    )
  })

const refused = (detail: string): DriverError =>
  new DriverError({ request: "Produce", failure: Failure.Refused(), detail })

/** What kafkajs would do wrong without saying so. */
const refusalOf = (
  session: Session,
  batches: ReadonlyArray<PartitionBatch>
): DriverError | null => {
  if (session.transaction === null) return refused("The session has no open transaction")
  const keys = batches.map(TopicPartition.toKey)
  // The second batch would take the sequence of the first one if that failed (K19).
  if (new Set(keys).size < keys.length) return refused("Two batches of one send share a partition")
  if (keys.some((key) => session.lostSequences.has(key))) {
    return refused("The sequence of a partition is lost; the session must be replaced")
  }
  const records = batches.flatMap((batch) => batch.records)
  if (batches.some((batch) => batch.records.length === 0)) return refused("A batch has no record")
  // kafkajs fails on these with a TypeError after it has taken a sequence (K21).
  if (records.some(({ headers }) => headers.some(([, value]) => !(value instanceof Uint8Array)))) {
    return refused("A header has no value")
  }
  return null
}

interface Leaders {
  readonly groups: ReadonlyArray<ReadonlyArray<PartitionBatch>>
  readonly missing: ReadonlyArray<PartitionBatch>
}

/**
 * Groups batches by the broker that leads their partitions, so that each call of kafkajs is one
 * Produce: several at once could be appended in part, and a repetition would append a record twice
 * (K6). kafkajs drops a record without a word whose partition it does not know; those are
 * `missing`.
 */
const findLeaders = (
  session: Session,
  batches: ReadonlyArray<PartitionBatch>
): Effect.Effect<Leaders, DriverError> => {
  const { cluster } = session
  const look = (): Leaders => {
    const missing = batches.filter((batch) => leaderOf(session, batch).leader === null)
    const led = batches.filter((batch) => leaderOf(session, batch).leader !== null)
    return {
      groups: [...Map.groupBy(led, (batch) => leaderOf(session, batch).leader).values()],
      missing
    }
  }
  return session.run(async () => {
    await cluster.addMultipleTargetTopics([...new Set(batches.map(({ topic }) => topic))])
    await cluster.refreshMetadataIfNecessary()
    const found = look()
    if (found.missing.length === 0) return found
    // The partition or its leader may be new.
    await cluster.refreshMetadata()
    return look()
  })
}

const leaderOf = (session: Session, { partition, topic }: PartitionBatch) =>
  topicOf(session.cluster, topic).leaderOf(partition)

const missingPartition = (session: Session, batch: PartitionBatch): DriverError => {
  const { code } = leaderOf(session, batch)
  return new DriverError({
    request: "Metadata",
    failure: Failure.Answered({ code }),
    detail: `Partition ${batch.partition} of "${batch.topic}" cannot be written to`
  })
}

/**
 * Sends the batches of one broker and notes their answers. An error that the next brokers' batches
 * would meet too is returned, because then those are not sent.
 */
const sendGroup = (
  session: Session,
  group: ReadonlyArray<PartitionBatch>,
  answers: Answers
): Effect.Effect<DriverError | null> => {
  let call: Call | null = null
  return session.run((current) => {
    call = current
    const { transaction } = session
    if (transaction === null) throw new Error("The session has no open transaction")
    return transaction.sendBatch({
      acks: -1,
      timeout: session.options.requestTimeoutMillis,
      compression: CompressionTypes.None,
      topicMessages: Array.from(
        Map.groupBy(group, ({ topic }) => topic),
        ([topic, ofTopic]) => ({ topic, messages: groupedMessages(ofTopic) })
      )
    })
  }).pipe(
    Effect.matchEager({
      onSuccess: (metadata) => {
        for (const one of metadata) answers.set(keyOf(one), Result.succeed(appendedOf(one)))
        return null
      },
      onFailure: (error) => {
        const produced = (call?.exchanges ?? []).filter(({ apiKey }) => apiKey === produceKey)
        // A leader moved between grouping and sending: kafkajs wrote two requests at once, and
        // which sequences it has taken back depends on answers that may still come.
        if (produced.length > 1) session.gate.close()
        noteFailure(session, group, answers, error, produced.at(0)?.answer ?? null)
        return error.request === "Produce" && produced.length === 1 ? null : error
      }
    })
  )
}

const noteFailure = (
  session: Session,
  group: ReadonlyArray<PartitionBatch>,
  answers: Answers,
  error: DriverError,
  answer: Answer | null
): void => {
  const partitions = answer?._tag === "Read" && error.failure._tag === "Answered"
    ? answer.partitions
    : []
  const codes = new Map(partitions.map((one) => [TopicPartition.toKey(one), one.code]))
  const isAppended = partitions.length > 0 &&
    partitions.every(({ code }) => code === 0 || code === duplicateSequence)
  for (const batch of group) {
    const key = TopicPartition.toKey(batch)
    if (isAppended) {
      // The broker has every batch already, which kafkajs takes for a failure (K12). It has taken
      // the sequences back, so nothing more of this session may go to these partitions.
      session.lostSequences.add(key)
      answers.set(key, Result.succeed({ baseOffset: -1n, logAppendTime: -1n }))
    } else {
      const code = codes.get(key) ?? 0
      const own = code === 0 || code === duplicateSequence
        ? error
        : new DriverError({ ...error, failure: Failure.Answered({ code }) })
      answers.set(key, Result.fail(own))
    }
  }
}

const keyOf = (metadata: RecordMetadata): string =>
  TopicPartition.toKey({ topic: metadata.topicName, partition: metadata.partition })

const appendedOf = ({ baseOffset, logAppendTime }: RecordMetadata): Appended => ({
  baseOffset: BigInt(baseOffset ?? -1),
  logAppendTime: BigInt(logAppendTime ?? -1)
})

/**
 * The messages of a topic, already grouped.
 *
 * kafkajs groups them itself with one `reduce`, copying a growing array for each message: 34 of the
 * 48 ms that it takes to write 5,000 records. This array's `reduce` gives the same groups at once.
 */
const groupedMessages = (batches: ReadonlyArray<PartitionBatch>): Array<Message> => {
  const groups = Object.fromEntries(
    batches.map((batch) => [batch.partition, messagesOf(batch)])
  )
  return Object.defineProperty(Object.values(groups).flat(), "reduce", { value: () => groups })
}

const messagesOf = ({ partition, records }: PartitionBatch): Array<Message> =>
  records.map((record) => ({
    partition,
    key: bytesOf(record.key),
    value: bytesOf(record.value),
    ...(record.headers.length === 0 ? {} : { headers: headersOf(record) }),
    timestamp: timestampOf(record.timestamp)
  }))

const bytesOf = (bytes: Uint8Array | null): Buffer | null => bytes === null ? null : bufferOf(bytes)

/** kafkajs writes a `Buffer` as it is, and anything else as text. */
const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * kafkajs sorts the timestamps of a batch as text, and writes the first and the last as its bounds;
 * texts of equal length sort as numbers do.
 */
const timestampOf = (timestamp: bigint): string => timestamp.toString().padStart(19, "0")

/** kafkajs takes a map (K22): values of one name keep their order. */
const headersOf = ({ headers }: EncodedRecord): IHeaders => {
  // Without a prototype, a header may be called "__proto__".
  const map = Object.create(null) as Record<string, Array<Buffer>>
  for (const [name, value] of headers) {
    const values = map[name]
    if (values === undefined) map[name] = [bufferOf(value)]
    else values.push(bufferOf(value))
  }
  return map
}
