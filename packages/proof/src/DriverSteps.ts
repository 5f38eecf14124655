/**
 * The steps in which tests of a driver are told.
 *
 * @since 0.1.0
 */
import {
  type Appended,
  type DriverError,
  type EncodedRecord,
  KafkaDriver,
  type OffsetCommit,
  type PartitionBatch,
  type ProducerIdentity,
  type ProducerSession,
  type Resumption
} from "@kafka-once/core/KafkaDriver"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** Answers that only mean "not yet"; the library repeats them, and so do these tests. */
const notYet = new Set([5, 6, 14, 15, 16, 51, 88])

const isNotYet = ({ failure }: DriverError): boolean =>
  failure._tag === "Answered" && notYet.has(failure.code)

/** For 20 seconds at most. */
const patiently = Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 1_000 }))

/**
 * Repeats a call while the broker answers "not yet".
 *
 * @since 0.1.0
 */
export const persist = <A, R>(
  call: Effect.Effect<A, DriverError, R>
): Effect.Effect<A, DriverError, R> => Effect.retry(call, { while: isNotYet, schedule: patiently })

/**
 * A session with the identity that it got.
 *
 * @since 0.1.0
 */
export interface Opened {
  readonly session: ProducerSession
  readonly identity: ProducerIdentity
}

/**
 * Opens a session and initialises it.
 *
 * @since 0.1.0
 */
export const open = Effect.fnUntraced(function*(
  transactionalId: string,
  options: {
    readonly requestTimeoutMillis?: number
    readonly transactionTimeoutMillis?: number
    readonly resume?: Resumption
  } = {}
): Effect.fn.Return<Opened, DriverError, KafkaDriver | Scope.Scope> {
  const driver = yield* KafkaDriver
  const session = yield* driver.openSession({
    transactionalId,
    transactionTimeoutMillis: 15_000,
    requestTimeoutMillis: 3_000,
    ...options
  })
  const identity = yield* persist(session.initialize)
  return { session, identity }
})

const encoder = new TextEncoder()

/**
 * A record with a text for its value.
 *
 * @since 0.1.0
 */
export const record = (value: string): EncodedRecord => ({
  key: null,
  value: encoder.encode(value),
  headers: [],
  timestamp: 1_700_000_000_000n
})

/**
 * A batch of such records.
 *
 * @since 0.1.0
 */
export const batch = (
  topic: string,
  partition: number,
  ...values: ReadonlyArray<string>
): PartitionBatch => ({ topic, partition, records: values.map(record) })

/**
 * Sends until the broker no longer answers "not yet"; the same batches each time.
 *
 * @since 0.1.0
 */
export const sendAll = (
  session: ProducerSession,
  batches: ReadonlyArray<PartitionBatch>
): Effect.Effect<ReadonlyArray<Result.Result<Appended, DriverError>>> =>
  session.send(batches).pipe(
    Effect.repeat({
      until: (answers) =>
        !answers.some((answer) => Result.isFailure(answer) && isNotYet(answer.failure)),
      schedule: patiently
    })
  )

/**
 * Sends one batch and gives what was appended.
 *
 * @since 0.1.0
 */
export const sendOne = (
  session: ProducerSession,
  one: PartitionBatch
): Effect.Effect<Appended, DriverError> => persist(sendOnce(session, one))

/**
 * Sends one batch, one attempt.
 *
 * @since 0.1.0
 */
export const sendOnce = (
  session: ProducerSession,
  one: PartitionBatch
): Effect.Effect<Appended, DriverError> =>
  Effect.flatMap(session.send([one]), ([answer]) =>
    answer === undefined
      ? Effect.die(new Error("A send of one batch was answered with none"))
      : Effect.fromResult(answer))

/**
 * Sends the same batch until a broker answers, as the library does after a reset.
 *
 * @since 0.1.0
 */
export const sendUntilAnswered = (
  session: ProducerSession,
  one: PartitionBatch
): Effect.Effect<Appended, DriverError> =>
  Effect.retry(sendOne(session, one), {
    while: ({ failure }) => failure._tag === "NotSent" || failure._tag === "NoAnswer",
    schedule: patiently,
    times: 20
  })

/**
 * Offsets of one partition, of a group named as its topic.
 *
 * @since 0.1.0
 */
export const positions = (topic: string, partition: number, offset: bigint): OffsetCommit => ({
  groupId: topic,
  membership: { generationId: -1, memberId: "", groupInstanceId: null },
  metadata: "token",
  positions: [{ topic, partition, offset }]
})

/**
 * The end marker in partition 0.
 *
 * @since 0.1.0
 */
export const endMarker = (topic: string, offset: bigint, producerId: bigint) =>
  Effect.flatMap(
    KafkaDriver,
    (driver) => driver.endMarker({ topic, partition: 0 }, offset, producerId)
  )

/**
 * One whole transaction.
 *
 * @since 0.1.0
 */
export const transact = Effect.fnUntraced(function*(
  session: ProducerSession,
  batches: ReadonlyArray<PartitionBatch>,
  end: "commit" | "abort"
): Effect.fn.Return<ReadonlyArray<Appended>, DriverError> {
  yield* session.begin
  const answers = yield* sendAll(session, batches)
  const appended = yield* Effect.forEach(answers, (answer) => Effect.fromResult(answer))
  yield* session.end(end)
  return appended
})

/**
 * How a call failed, in one text: `Produce: 10`, `EndTxn: NoAnswer`.
 *
 * @since 0.1.0
 */
export const told = ({ failure, request }: DriverError): string =>
  `${request}: ${failure._tag === "Answered" ? failure.code : failure._tag}`

/**
 * Asks again until the answer fits, for 20 seconds at most; then gives the last answer.
 *
 * @since 0.1.0
 */
export const until = <A, E, R>(
  question: Effect.Effect<A, E, R>,
  fits: (answer: A) => boolean
): Effect.Effect<A, E, R> => Effect.repeat(question, { until: fits, schedule: patiently })

const decoder = new TextDecoder()

/**
 * The committed records of a topic, partition by partition, as a reader sees them that is no
 * driver.
 * EndTxn is answered before its markers are written (rule 17), so the reader looks again a few
 * times until there are `atLeast` so many.
 *
 * @since 0.1.0
 */
export const recordsIn = (topic: string, atLeast: number) =>
  Effect.repeat(read(topic, "read_committed"), {
    until: (records) => records.length >= atLeast,
    times: 4
  })

const read = Effect.fnUntraced(function*(
  topic: string,
  isolation: "read_committed" | "read_uncommitted"
) {
  const { bootstrapServers, classPath } = yield* EmbeddedKafka
  return yield* CommittedRecords.read({ bootstrapServers, classPath, topic, isolation })
})

/**
 * The values of {@link recordsIn} as text.
 *
 * @since 0.1.0
 */
export const valuesIn = (topic: string, atLeast: number) =>
  Effect.map(recordsIn(topic, atLeast), textsOf)

/**
 * The values of every record that was appended to a topic, committed or not.
 *
 * @since 0.1.0
 */
export const appendedIn = (topic: string) => Effect.map(read(topic, "read_uncommitted"), textsOf)

const textsOf = (records: ReadonlyArray<CommittedRecords.CommittedRecord>) =>
  records.map(({ value }) => value === null ? null : decoder.decode(value))
