/**
 * What is in the log, and what the coordinators know: read with a protocol codec that shares no
 * code with any driver, over a connection of its own that goes through no proxy.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import {
  accept,
  type At as Where,
  bounded,
  connect,
  coordinator,
  limitMillis,
  metadata,
  refused,
  unanswered,
  withLiveClock
} from "./internal/brokerRequests.ts"
import * as PartitionLeader from "./internal/partitionLeader.ts"
import { readPartition, scanPartition } from "./internal/partitionReader.ts"
import { LogReaderError, type NotAnswered, NotSettled, type Refused } from "./LogReaderError.ts"
import * as PartitionLog from "./PartitionLog.ts"

/**
 * Where to read.
 *
 * **Details**
 *
 * *Units and bounds*: `limit` bounds the whole of one reading; 20 seconds by default.
 *
 * @category models
 * @since 0.1.0
 */
export type At = Where

/**
 * Reads a topic as it lies in the log, partition by partition.
 *
 * **Details**
 *
 * Each partition is read from its leader, wherever that moves meanwhile, up to the high watermark
 * of the first answer, so that what it gives is the partition at one moment.
 *
 * *Errors*: `Refused` with the broker's code, `NotAnswered` for a broker that cannot be reached or
 * an end that is not reached within `limit`.
 *
 * @category operations
 * @since 0.1.0
 */
export const read = (
  at: At,
  topic: string
): Effect.Effect<ReadonlyArray<PartitionLog.PartitionLog>, LogReaderError> =>
  bounded(at, `reading the topic ${topic}`, readTopic(at, topic))

const readTopic = (at: At, topic: string) =>
  forEachPartition(at, topic, (leader, partition) => readPartition(leader, topic, partition))

const forEachPartition = <A>(
  at: At,
  topic: string,
  read: (
    leader: PartitionLeader.PartitionLeader,
    partition: number
  ) => Effect.Effect<A, Refused | NotAnswered>
) =>
  Effect.scoped(Effect.gen(function*() {
    const { partitions } = yield* metadata(at, topic)
    return yield* Effect.forEach(
      partitions,
      ({ partition }) =>
        Effect.flatMap(
          PartitionLeader.make(at, topic, partition),
          (leader) => read(leader, partition)
        )
    )
  }))

/**
 * Reads a topic as {@link read} does, and hands it over a few megabytes at a time, for logs that do
 * not fit into memory as they are.
 *
 * **Details**
 *
 * Every part has the bounds of the whole partition, and a partition gives at least one part.
 *
 * *Errors*: as {@link read}.
 *
 * @category operations
 * @since 0.1.0
 */
export const scan = (
  at: At,
  topic: string,
  onPart: (part: PartitionLog.PartitionLog) => void
): Effect.Effect<void, LogReaderError> =>
  bounded(
    at,
    `reading the topic ${topic}`,
    Effect.asVoid(
      forEachPartition(at, topic, (leader, partition) =>
        scanPartition(leader, topic, partition, onPart))
    )
  )

/**
 * Reads a topic when no transaction is under way in it any more.
 *
 * **When to use**
 *
 * After the last transaction of a test has ended: the answer to EndTxn comes before the end markers
 * are in the log.
 *
 * **Details**
 *
 * *Errors*: `NotSettled` where a transaction is still open when the limit has passed; and those of
 * {@link read}.
 *
 * @category operations
 * @since 0.1.0
 */
export const readSettled = (
  at: At,
  topic: string
): Effect.Effect<ReadonlyArray<PartitionLog.PartitionLog>, LogReaderError> =>
  withLiveClock(waitUntilSettled(at, topic))

const waitUntilSettled = Effect.fnUntraced(function*(at: At, topic: string) {
  const until = (yield* Clock.currentTimeMillis) + limitMillis(at)
  const logs = yield* read(at, topic).pipe(
    Effect.repeat({
      until: (logs) =>
        Effect.map(
          Clock.currentTimeMillis,
          (now) => logs.every(PartitionLog.isSettled) || now >= until
        ),
      schedule: Schedule.spaced("10 millis")
    })
  )
  const open = logs.filter((log) => !PartitionLog.isSettled(log))
  if (open.length === 0) return logs
  return yield* new LogReaderError({
    operation: `reading the topic ${topic}`,
    reason: new NotSettled({
      open: open.map(({ lastStableOffset, partition }) => ({ partition, lastStableOffset }))
    })
  })
})

/**
 * The values that a reader under read_committed is given once no transaction is under way, sorted.
 *
 * **Details**
 *
 * *Errors*: as {@link readSettled}.
 *
 * @category operations
 * @since 0.1.0
 */
export const visibleValues = (
  at: At,
  topic: string
): Effect.Effect<ReadonlyArray<string>, LogReaderError> =>
  Effect.map(
    readSettled(at, topic),
    (logs) => logs.flatMap(PartitionLog.visible).map(PartitionLog.textOf).sort()
  )

/**
 * A partition's committed offset of a group.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly metadata: string | null
}

/**
 * The committed offsets of a group, those of open transactions not among them.
 *
 * **Details**
 *
 * *Errors*: `Refused` with `UNSTABLE_OFFSET_COMMIT` while a transaction of the group is open
 * (KIP-447); `NotAnswered`.
 *
 * @category operations
 * @since 0.1.0
 */
export const committedOffsets = (
  at: At,
  groupId: string
): Effect.Effect<ReadonlyArray<CommittedOffset>, LogReaderError> =>
  bounded(
    at,
    `reading the offsets of ${groupId}`,
    Effect.scoped(Effect.gen(function*() {
      const client = yield* coordinator(at, groupId, "group")
      const answer = yield* client.request("OffsetFetch", 8, {
        groups: [{ groupId, topics: null }],
        requireStable: true
      }).pipe(unanswered("OffsetFetch"))
      const group = answer.groups?.[0]
      yield* accept("OffsetFetch", group?.errorCode)
      const rows = (group?.topics ?? []).flatMap(({ name = "", partitions = [] }) =>
        partitions.map((partition) => ({ ...partition, topic: name }))
      )
      for (const { errorCode } of rows) yield* accept("OffsetFetch", errorCode)
      return rows.map(({ committedOffset = -1n, metadata = null, partitionIndex = -1, topic }) => ({
        topic,
        partition: partitionIndex,
        offset: committedOffset,
        metadata
      }))
    }))
  )

/**
 * A transactional id as its coordinator knows it: `Ongoing`, `PrepareCommit`, `CompleteAbort`, ...
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionListing {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly state: string
}

/**
 * The transactional ids that the brokers know, those whose name begins with `prefix` where it is
 * given.
 *
 * **Details**
 *
 * *Errors*: `Refused`, `NotAnswered`.
 *
 * @category operations
 * @since 0.1.0
 */
export const listTransactions = (
  at: At,
  prefix = ""
): Effect.Effect<ReadonlyArray<TransactionListing>, LogReaderError> =>
  bounded(
    at,
    "listing transactions",
    Effect.scoped(Effect.gen(function*() {
      const { brokers } = yield* metadata(at, null)
      const rows = yield* Effect.forEach(brokers, ({ host, port }) =>
        Effect.gen(function*() {
          const client = yield* connect(`${host}:${port}`)
          const answer = yield* client.request("ListTransactions", 0, {
            stateFilters: [],
            producerIdFilters: []
          }).pipe(unanswered("ListTransactions"))
          yield* accept("ListTransactions", answer.errorCode)
          return answer.transactionStates
        }))
      return rows.flat()
        .map(({ producerId, transactionState: state, transactionalId }) => ({
          transactionalId,
          producerId,
          state
        }))
        .filter(({ transactionalId }) => transactionalId.startsWith(prefix))
    }))
  )

/**
 * Those of {@link listTransactions} whose transaction has begun and is not decided yet.
 *
 * @category operations
 * @since 0.1.0
 */
export const openTransactions = (
  at: At,
  prefix = ""
): Effect.Effect<ReadonlyArray<TransactionListing>, LogReaderError> =>
  Effect.map(
    listTransactions(at, prefix),
    (rows) => rows.filter(({ state }) => state === "Ongoing")
  )

/**
 * One transactional id in full.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionDescription extends TransactionListing {
  readonly producerEpoch: number
  readonly timeoutMillis: number
  readonly partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>
}

/**
 * Asks the coordinator of a transactional id about it.
 *
 * **Details**
 *
 * *Errors*: `Refused` with `TRANSACTIONAL_ID_NOT_FOUND`, among others; `NotAnswered`.
 *
 * @category operations
 * @since 0.1.0
 */
export const describeTransaction = (
  at: At,
  transactionalId: string
): Effect.Effect<TransactionDescription, LogReaderError> =>
  bounded(
    at,
    `describing the transaction of ${transactionalId}`,
    Effect.scoped(Effect.gen(function*() {
      const client = yield* coordinator(at, transactionalId, "transaction")
      const { transactionStates: [row] } = yield* client.request("DescribeTransactions", 0, {
        transactionalIds: [transactionalId]
      }).pipe(unanswered("DescribeTransactions"))
      if (row === undefined) return yield* refused("DescribeTransactions", -1)
      yield* accept("DescribeTransactions", row.errorCode)
      return {
        transactionalId,
        producerId: row.producerId,
        producerEpoch: row.producerEpoch,
        state: row.transactionState,
        timeoutMillis: row.transactionTimeoutMs,
        partitions: row.topics.flatMap(({ partitions, topic }) =>
          partitions.map((partition) => ({ topic, partition }))
        )
      }
    }))
  )

/**
 * A producer as the leader of a partition knows it. `openSince` is the first offset of its open
 * transaction, or `null`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ActiveProducer {
  readonly partition: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly lastSequence: number
  readonly openSince: bigint | null
}

/**
 * The producers of a topic, as its leaders know them.
 *
 * **Details**
 *
 * *Errors*: `Refused`, `NotAnswered`.
 *
 * @category operations
 * @since 0.1.0
 */
export const describeProducers = (
  at: At,
  topic: string
): Effect.Effect<ReadonlyArray<ActiveProducer>, LogReaderError> =>
  bounded(
    at,
    `describing the producers of ${topic}`,
    Effect.scoped(Effect.gen(function*() {
      const { brokers, partitions } = yield* metadata(at, topic)
      const rows = yield* Effect.forEach(brokers, ({ host, nodeId, port }) =>
        Effect.gen(function*() {
          const led = partitions.filter(({ leaderId }) => leaderId === nodeId)
          const client = yield* connect(`${host}:${port}`)
          const { topics } = yield* client.request("DescribeProducers", 0, {
            topics: [{ name: topic, partitionIndexes: led.map(({ partition }) => partition) }]
          }).pipe(unanswered("DescribeProducers"))
          return topics.flatMap(({ partitions }) => partitions)
        }))
      for (const { errorCode } of rows.flat()) yield* accept("DescribeProducers", errorCode)
      return rows.flat().flatMap(({ activeProducers, partitionIndex: partition }) =>
        activeProducers.map((
          { currentTxnStartOffset, lastSequence, producerEpoch, producerId }
        ) => ({
          partition,
          producerId,
          producerEpoch,
          lastSequence,
          openSince: currentTxnStartOffset < 0n ? null : currentTxnStartOffset
        }))
      )
    }))
  )
