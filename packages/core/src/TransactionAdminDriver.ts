/**
 * What brokers tell about transactions, and the part of the driver port that asks for it: one
 * attempt of one request each.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { DriverError } from "./DriverError.ts"
import type { TopicPartition } from "./TopicPartition.ts"

/**
 * The state of a transaction as its coordinator names it.
 *
 * @category models
 * @since 0.1.0
 */
export type CoordinatorState =
  | "Empty"
  | "Ongoing"
  | "PrepareCommit"
  | "PrepareAbort"
  | "CompleteCommit"
  | "CompleteAbort"
  | "Dead"
  | "PrepareEpochFence"

/**
 * One transactional id, as the list of a coordinator has it.
 *
 * **Details**
 *
 * *Shape*: `state` may be one that a newer broker has and this library does not know.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionListing {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly state: CoordinatorState | (string & {})
}

/**
 * One transactional id, as its coordinator describes it.
 *
 * **Details**
 *
 * *Shape*: `partitions` are those that the coordinator still has to write a marker to: all of an
 * ongoing transaction's, fewer and fewer while it ends. A topic that the principal may not describe
 * is left out by the broker.
 *
 * *Units and bounds*: `startedAtMillis` is since 1970, `null` while nothing is open.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionDescription extends TransactionListing {
  readonly epoch: number
  readonly timeoutMillis: number
  readonly startedAtMillis: number | null
  readonly partitions: ReadonlyArray<TopicPartition>
}

/**
 * What the leader of a partition knows of one producer.
 *
 * **Details**
 *
 * *Shape*: `startOffset` is where its open transaction begins, `null` where none is open.
 * `coordinatorEpoch` is that of its last marker, `null` where it never had one.
 *
 * *Units and bounds*: `lastTimestampMillis` is the newest timestamp of its last batch, in
 * milliseconds since 1970. The producer's program may have chosen it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducerState {
  readonly producerId: bigint
  readonly epoch: number
  readonly lastSequence: number
  readonly lastTimestampMillis: number
  readonly coordinatorEpoch: number | null
  readonly startOffset: bigint | null
}

/**
 * Which transactions a list is to hold; what is left out does not limit it.
 *
 * **Details**
 *
 * *Shape*: `pattern` is a regular expression (RE2) that the whole transactional id must match.
 * `openLongerThanMillis` leaves out what is not open; brokers themselves would not.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListFilter {
  readonly states?: ReadonlyArray<CoordinatorState> | undefined
  readonly producerIds?: ReadonlyArray<bigint> | undefined
  readonly openLongerThanMillis?: number | undefined
  readonly pattern?: string | undefined
}

/**
 * Whether a transaction in this state has begun, and has not ended everywhere.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOpen = (state: TransactionListing["state"]): boolean =>
  state === "Ongoing" || state.startsWith("Prepare")

/**
 * The marker that ends one producer's transaction in one partition.
 *
 * @category models
 * @since 0.1.0
 */
export interface AbortMarker extends TopicPartition {
  readonly producerId: bigint
  readonly epoch: number
  readonly coordinatorEpoch: number
}

/**
 * One topic as the cluster knows it.
 *
 * **Details**
 *
 * *Shape*: `code` is the protocol's error code of the whole topic, 0 where there is none;
 * `leaderless` are those of its partitions that nobody can be asked about now.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicState {
  readonly topic: string
  readonly code: number
  readonly partitionCount: number
  readonly leaderless: ReadonlyArray<number>
}

/**
 * What a driver does for `TransactionAdmin`.
 *
 * **Details**
 *
 * *Shape*
 * - `brokers`: the ids of the brokers that the cluster has now.
 * - `topics`: the topics of these names, or with `null` all that may be seen; asked anew.
 * - `list`: what one broker coordinates.
 * - `describe`: one transactional id, at its coordinator.
 * - `producers`: for each partition, in the order given, what its leader knows of producers.
 * - `writeAbortMarker`: one WriteTxnMarkers to the leader of the marker's partition.
 * - `fence`: one InitProducerId with (-1, -1).
 * - `maxTransactionTimeoutMillis`: `transaction.max.timeout.ms` of one broker.
 *
 * An answer or failure that shows that a leader or coordinator moved makes the driver look it up
 * again at the next call.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransactionAdminDriver {
  readonly brokers: Effect.Effect<ReadonlyArray<number>, DriverError>
  readonly topics: (
    names: ReadonlyArray<string> | null
  ) => Effect.Effect<ReadonlyArray<TopicState>, DriverError>
  readonly list: (
    brokerId: number,
    filter: ListFilter
  ) => Effect.Effect<ReadonlyArray<TransactionListing>, DriverError>
  readonly describe: (
    transactionalId: string
  ) => Effect.Effect<TransactionDescription, DriverError>
  readonly producers: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<Result.Result<ReadonlyArray<ProducerState>, DriverError>>>
  readonly writeAbortMarker: (marker: AbortMarker) => Effect.Effect<void, DriverError>
  readonly fence: (
    transactionalId: string,
    transactionTimeoutMillis: number
  ) => Effect.Effect<{ readonly producerId: bigint; readonly epoch: number }, DriverError>
  readonly maxTransactionTimeoutMillis: (brokerId: number) => Effect.Effect<number, DriverError>
}
