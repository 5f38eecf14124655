/**
 * Sending batches: one Produce request for each broker that leads some of them, all at once.
 */
import {
  type Appended,
  DriverError,
  Failure,
  type PartitionBatch
} from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Address } from "./address.ts"
import * as Brokers from "./brokers.ts"
import type { Topic } from "./cluster.ts"
import { answered, isSilence, notSent, refused } from "./failure.ts"
import * as RecordBatch from "./recordBatch.ts"
import * as Registration from "./registration.ts"
import * as Requests from "./requests.ts"
import * as Sequences from "./sequences.ts"
import {
  monotonicMillisOf,
  type OpenTransaction,
  type SessionState,
  whileOpen
} from "./sessionState.ts"

type Answer = Result.Result<Appended, DriverError>

/** A batch on its way, and where to. */
interface Outgoing {
  readonly index: number
  readonly batch: PartitionBatch
  readonly pending: Sequences.Pending
  readonly leader: Address
}

/** Sends each batch, one attempt, and answers for each in the order given. */
export const send = (
  state: SessionState,
  batches: ReadonlyArray<PartitionBatch>
): Effect.Effect<ReadonlyArray<Answer>> =>
  Effect.gen(function*() {
    const { transaction } = state
    const refusal = refusalOf(state, batches)
    if (refusal !== null || transaction === null) {
      const error = refusal ?? refused("Produce", "The session has no open transaction")
      return batches.map(() => Result.fail(error))
    }
    const answers: Array<Answer> = []
    const leaders = yield* findLeaders(state, batches)
    const outgoing = batches.flatMap((batch, index) => {
      const pending = takeSequence(state, batch)
      const leader = leaders[index]
      if (pending === null) answers[index] = Result.fail(anotherIsUnclear)
      else if (leader instanceof DriverError) answers[index] = Result.fail(leader)
      else if (leader !== undefined) return [{ index, batch, pending, leader }]
      return []
    })
    if (outgoing.length > 0) {
      const sending = sendOutgoing(state, transaction, outgoing, answers)
      yield* state.endedAtMillis === null ? sending : afterMarkers(state, sending, answers)
    }
    return answers
  })

/** The first records after a transaction wait for its markers here, not at the broker. */
const afterMarkers = (
  state: SessionState,
  sending: Effect.Effect<void>,
  answers: ReadonlyArray<Answer>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { markerWait } = state.cluster
    const clock = yield* Clock.Clock
    const endedAtMillis = state.endedAtMillis ?? 0
    state.endedAtMillis = null
    const sinceEnd = () => monotonicMillisOf(clock) - endedAtMillis
    const hold = markerWait.choose()
    const passed = sinceEnd()
    if (passed < hold) yield* Effect.sleep(hold - passed)
    const sentAfter = Math.max(hold, passed)
    yield* sending
    // What failed took as long for another reason.
    if (answers.every(Result.isSuccess)) markerWait.note(sentAfter, sinceEnd())
  })

const anotherIsUnclear = refused(
  "Produce",
  "Another batch of the partition may have been appended, and only it may be sent again"
)

const refusalOf = (
  { closed }: SessionState,
  batches: ReadonlyArray<PartitionBatch>
): DriverError | null => {
  if (closed) return notSent("Produce", "The session is closed")
  if (new Set(batches.map(TopicPartition.toKey)).size < batches.length) {
    return refused("Produce", "Two batches of one send share a partition")
  }
  if (batches.some(({ records }) => records.length === 0)) {
    return refused("Produce", "A batch has no record")
  }
  const hasNoValue = batches.some(({ records }) =>
    records.some(({ headers }) => headers.some(([, value]) => !(value instanceof Uint8Array)))
  )
  return hasNoValue ? refused("Produce", "A header has no value") : null
}

const takeSequence = (
  { actor, sequences, settings }: SessionState,
  batch: PartitionBatch
): Sequences.Pending | null =>
  sequences.take(
    batch,
    (sequence) => RecordBatch.encode(actor, sequence, batch.records, settings.compression)
  )

/** For each batch the leader of its partition, or why there is none. */
const findLeaders = (
  { cluster }: SessionState,
  batches: ReadonlyArray<PartitionBatch>
): Effect.Effect<ReadonlyArray<Address | DriverError>> => {
  const names = [...new Set(batches.map(({ topic }) => topic))]
  const look = (topics: ReadonlyMap<string, Topic>) =>
    batches.map((batch) =>
      topics.get(batch.topic)?.leaders.get(batch.partition) ?? missing(topics, batch)
    )
  return cluster.topics(names, false).pipe(
    Effect.map(look),
    Effect.flatMap((leaders) =>
      leaders.some((leader) => leader instanceof DriverError)
        // The partition or its leader may be new.
        ? Effect.map(cluster.topics(names, true), look)
        : Effect.succeed(leaders)
    ),
    Effect.catch((error) => Effect.succeed(batches.map(() => error)))
  )
}

const unknownTopicOrPartition = 3

const missing = (topics: ReadonlyMap<string, Topic>, batch: PartitionBatch): DriverError =>
  answered(
    "Metadata",
    topics.get(batch.topic)?.codeOf(batch.partition) ?? unknownTopicOrPartition,
    `Partition ${batch.partition} of "${batch.topic}" cannot be written to`
  )

const sendOutgoing = (
  state: SessionState,
  transaction: OpenTransaction,
  outgoing: ReadonlyArray<Outgoing>,
  answers: Array<Answer>
): Effect.Effect<void> =>
  Registration.register(state, transaction, outgoing.map(({ batch }) => batch)).pipe(
    Effect.flatMap(() =>
      Effect.forEach(
        Map.groupBy(outgoing, ({ leader }) => Brokers.keyOf(leader)).values(),
        (group) => sendGroup(state, transaction, group, answers),
        { concurrency: "unbounded", discard: true }
      )
    ),
    Effect.catch((error) =>
      Effect.sync(() => {
        for (const { index } of outgoing) answers[index] = Result.fail(error)
      })
    )
  )

/** Sends the batches of one broker, and notes what became of each. */
const sendGroup = (
  state: SessionState,
  transaction: OpenTransaction,
  group: ReadonlyArray<Outgoing>,
  answers: Array<Answer>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const leader = group[0]?.leader
    if (leader === undefined) return Effect.void
    const { cluster, options } = state
    const wereUnclear = group.map(({ pending }) => pending.unclear)
    // Until an answer says otherwise, also where nobody is left to take it.
    for (const { pending } of group) pending.unclear = true
    // At version 2 a partition is registered by its first records.
    transaction.mayBeRegistered = true
    const message = Requests.produce(
      options.transactionalId,
      options.requestTimeoutMillis,
      group.map(({ batch, pending }) => ({ ...batch, bytes: pending.bytes })),
      transaction.protocol
    )
    const request = cluster.request(leader, message, options.requestTimeoutMillis)
    return Effect.matchEager(whileOpen(state, message, request), {
      onFailure: (error) => {
        if (isSilence(error)) forgetTopics(state, group)
        group.forEach(({ index, pending }, nth) => {
          if (isNotWritten(error)) pending.unclear = wereUnclear[nth] ?? true
          answers[index] = Result.fail(error)
        })
      },
      onSuccess: (codes) => {
        const found = new Map(codes.map((one) => [TopicPartition.toKey(one), one]))
        group.forEach((one, nth) => {
          const answer = found.get(TopicPartition.toKey(one.batch))
          answers[one.index] = noteAnswer(state, one, answer, wereUnclear[nth] ?? true)
        })
      }
    })
  })

const isNotWritten = ({ failure, request }: DriverError): boolean =>
  request !== "Produce" || failure._tag !== "NoAnswer" && failure._tag !== "NotKafka"

const forgetTopics = ({ cluster }: SessionState, group: ReadonlyArray<Outgoing>): void => {
  for (const { batch } of group) cluster.forgetTopic(batch.topic)
}

const duplicateSequence = 46

/** Codes that say that the partition is led by somebody else, or is no longer there. */
const staleCodes: ReadonlySet<number> = new Set([3, 5, 6, 74, 75, 100])

const noteAnswer = (
  { cluster, sequences }: SessionState,
  { batch, pending }: Outgoing,
  answer: Requests.ProducedAnswer | undefined,
  wasUnclear: boolean
): Answer => {
  if (answer === undefined) {
    const detail = "The answer says nothing of a batch"
    return Result.fail(
      new DriverError({ request: "Produce", failure: Failure.NotKafka(), detail })
    )
  }
  const { baseOffset, code, logAppendTime } = answer
  if (code === 0 || code === duplicateSequence) {
    sequences.appended(batch, pending)
    return Result.succeed({ baseOffset: code === 0 ? baseOffset : -1n, logAppendTime })
  }
  if (Sequences.isNotAppended(code)) pending.unclear = wasUnclear
  if (staleCodes.has(code)) cluster.forgetTopic(batch.topic)
  return Result.fail(answered("Produce", code))
}
