/**
 * Kafka's error codes, and what each means for the request that got it.
 *
 * One pure table over (request, code). Every failure of every client is classified from it, never
 * from a client's own `retriable` flag. `docs/errors.md` is generated from it.
 *
 * @since 0.1.0
 */
import type { Request } from "./DriverError.ts"

/**
 * What a code means for the request that got it.
 *
 * **Details**
 *
 * *Shape*
 * - `success`: the broker has it already.
 * - `retry`: send the same request again after a pause.
 * - `refresh`: look up the leader or coordinator again, then send the same request.
 * - `abort`: the transaction cannot commit; its session is still good.
 * - `abort and replace`: the transaction cannot commit, and the session's epoch or sequences are no
 *   longer good for another one.
 * - `restart`: the session was fenced. Whether by a timeout or by another instance is told by the
 *   time since the transaction's first registration.
 * - `reconfigure`: rights, configuration or version; nothing changes by trying again.
 * - `resolve`: the outcome is not known from the answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict =
  | "success"
  | "retry"
  | "refresh"
  | "abort"
  | "abort and replace"
  | "restart"
  | "reconfigure"
  | "resolve"

/**
 * The reasons that a code can become.
 *
 * @category models
 * @since 0.1.0
 */
export type CodeReason =
  | "AuthenticationFailed"
  | "BrokerRefused"
  | "ConsumerFenced"
  | "Misconfigured"
  | "NotAuthorized"
  | "ProducerFenced"
  | "RecordRejected"
  | "TransactionAbortable"
  | "UnknownTopic"
  | "UnsupportedByBroker"

/**
 * One error code of the protocol.
 *
 * **Details**
 *
 * *Shape*: `reason` is the tag of the `KafkaError` reason that the code becomes where it is not
 * repeated; `BrokerRefused` where there is none. A code that is repeated until a deadline becomes
 * `TimedOut`, and any code of a commit whose outcome is not certain `CommitOutcomeUnknown`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorCode {
  readonly code: number
  readonly name: string
  readonly reason?: CodeReason
  readonly verdicts: { readonly [R in Request]?: Verdict }
}

const everywhere = (verdict: Verdict): ErrorCode["verdicts"] => ({
  Connect: verdict,
  Metadata: verdict,
  FindCoordinator: verdict,
  InitProducerId: verdict,
  AddPartitionsToTxn: verdict,
  Produce: verdict,
  AddOffsetsToTxn: verdict,
  TxnOffsetCommit: verdict,
  EndTxn: verdict,
  Fetch: verdict,
  ListOffsets: verdict,
  OffsetFetch: verdict,
  JoinGroup: verdict,
  SyncGroup: verdict,
  Heartbeat: verdict,
  OffsetCommit: verdict,
  LeaveGroup: verdict,
  ConsumerGroupHeartbeat: verdict,
  ListTransactions: verdict,
  DescribeTransactions: verdict,
  DescribeProducers: verdict,
  WriteTxnMarkers: verdict,
  DescribeConfigs: verdict
})

const coordinatorMoved: ErrorCode["verdicts"] = {
  FindCoordinator: "refresh",
  InitProducerId: "refresh",
  AddPartitionsToTxn: "refresh",
  AddOffsetsToTxn: "refresh",
  TxnOffsetCommit: "refresh",
  OffsetFetch: "refresh",
  JoinGroup: "refresh",
  SyncGroup: "refresh",
  Heartbeat: "refresh",
  OffsetCommit: "refresh",
  LeaveGroup: "refresh",
  ConsumerGroupHeartbeat: "refresh",
  ListTransactions: "refresh",
  DescribeTransactions: "refresh",
  // The coordinator answers COORDINATOR_NOT_AVAILABLE and NOT_COORDINATOR also when its append to
  // the transaction log timed out or lost its leader (TransactionStateManager), after which a new
  // coordinator may still find the decision in the log.
  EndTxn: "resolve"
}

const leaderMoved: ErrorCode["verdicts"] = {
  Metadata: "refresh",
  Produce: "refresh",
  Fetch: "refresh",
  ListOffsets: "refresh",
  DescribeProducers: "refresh",
  WriteTxnMarkers: "refresh"
}

const partition: ErrorCode["verdicts"] = {
  Produce: "retry",
  Fetch: "retry",
  ListOffsets: "retry",
  WriteTxnMarkers: "retry"
}

const rejected: ErrorCode["verdicts"] = { Produce: "abort" }

const memberFenced: ErrorCode["verdicts"] = {
  AddOffsetsToTxn: "abort",
  TxnOffsetCommit: "abort",
  JoinGroup: "abort",
  SyncGroup: "abort",
  Heartbeat: "abort",
  OffsetCommit: "abort",
  ConsumerGroupHeartbeat: "abort"
}

/**
 * Every code that the library knows, by code.
 *
 * **Details**
 *
 * *Source*: the error handlers of the Java client's `TransactionManager` and `Sender`,
 * `TransactionCoordinator.endTransaction` and `TransactionStateManager` of Kafka 4.x, and KIP-1050.
 *
 * @category models
 * @since 0.1.0
 */
export const table: ReadonlyArray<ErrorCode> = [
  { code: -1, name: "UNKNOWN_SERVER_ERROR", verdicts: { EndTxn: "resolve" } },
  { code: 1, name: "OFFSET_OUT_OF_RANGE", verdicts: {} },
  { code: 2, name: "CORRUPT_MESSAGE", reason: "RecordRejected", verdicts: { Produce: "retry" } },
  {
    code: 3,
    name: "UNKNOWN_TOPIC_OR_PARTITION",
    reason: "UnknownTopic",
    verdicts: {
      Metadata: "refresh",
      AddPartitionsToTxn: "refresh",
      Produce: "refresh",
      TxnOffsetCommit: "refresh",
      Fetch: "refresh",
      ListOffsets: "refresh",
      OffsetCommit: "refresh",
      DescribeProducers: "refresh",
      WriteTxnMarkers: "refresh"
    }
  },
  { code: 5, name: "LEADER_NOT_AVAILABLE", verdicts: leaderMoved },
  { code: 6, name: "NOT_LEADER_OR_FOLLOWER", verdicts: leaderMoved },
  {
    code: 7,
    name: "REQUEST_TIMED_OUT",
    verdicts: { ...everywhere("retry"), TxnOffsetCommit: "refresh", EndTxn: "resolve" }
  },
  { code: 8, name: "BROKER_NOT_AVAILABLE", verdicts: leaderMoved },
  { code: 9, name: "REPLICA_NOT_AVAILABLE", verdicts: leaderMoved },
  { code: 10, name: "MESSAGE_TOO_LARGE", reason: "RecordRejected", verdicts: rejected },
  {
    code: 12,
    name: "OFFSET_METADATA_TOO_LARGE",
    verdicts: { TxnOffsetCommit: "abort", OffsetCommit: "abort" }
  },
  {
    code: 13,
    name: "NETWORK_EXCEPTION",
    verdicts: { ...everywhere("retry"), EndTxn: "resolve" }
  },
  {
    code: 14,
    name: "COORDINATOR_LOAD_IN_PROGRESS",
    // The one coordinator error that is certain to have changed nothing: it is answered before the
    // transaction's state is looked at.
    verdicts: { ...coordinatorMoved, EndTxn: "retry" }
  },
  { code: 15, name: "COORDINATOR_NOT_AVAILABLE", verdicts: coordinatorMoved },
  { code: 16, name: "NOT_COORDINATOR", verdicts: coordinatorMoved },
  {
    code: 17,
    name: "INVALID_TOPIC_EXCEPTION",
    reason: "Misconfigured",
    verdicts: { Metadata: "reconfigure", AddPartitionsToTxn: "reconfigure", Produce: "reconfigure" }
  },
  { code: 18, name: "RECORD_LIST_TOO_LARGE", reason: "RecordRejected", verdicts: rejected },
  { code: 19, name: "NOT_ENOUGH_REPLICAS", verdicts: { ...partition, EndTxn: "resolve" } },
  {
    code: 20,
    name: "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    verdicts: { ...partition, EndTxn: "resolve" }
  },
  { code: 21, name: "INVALID_REQUIRED_ACKS", verdicts: { Produce: "reconfigure" } },
  { code: 22, name: "ILLEGAL_GENERATION", reason: "ConsumerFenced", verdicts: memberFenced },
  {
    code: 23,
    name: "INCONSISTENT_GROUP_PROTOCOL",
    reason: "Misconfigured",
    verdicts: {
      JoinGroup: "reconfigure",
      SyncGroup: "reconfigure",
      ConsumerGroupHeartbeat: "reconfigure"
    }
  },
  {
    code: 24,
    name: "INVALID_GROUP_ID",
    reason: "Misconfigured",
    verdicts: {
      FindCoordinator: "reconfigure",
      JoinGroup: "reconfigure",
      ConsumerGroupHeartbeat: "reconfigure",
      OffsetCommit: "reconfigure",
      OffsetFetch: "reconfigure"
    }
  },
  { code: 25, name: "UNKNOWN_MEMBER_ID", reason: "ConsumerFenced", verdicts: memberFenced },
  {
    code: 26,
    name: "INVALID_SESSION_TIMEOUT",
    reason: "Misconfigured",
    verdicts: { JoinGroup: "reconfigure" }
  },
  { code: 27, name: "REBALANCE_IN_PROGRESS", reason: "ConsumerFenced", verdicts: memberFenced },
  {
    code: 29,
    name: "TOPIC_AUTHORIZATION_FAILED",
    reason: "NotAuthorized",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 30,
    name: "GROUP_AUTHORIZATION_FAILED",
    reason: "NotAuthorized",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 31,
    name: "CLUSTER_AUTHORIZATION_FAILED",
    reason: "NotAuthorized",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 33,
    name: "UNSUPPORTED_SASL_MECHANISM",
    reason: "AuthenticationFailed",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 34,
    name: "ILLEGAL_SASL_STATE",
    reason: "AuthenticationFailed",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 35,
    name: "UNSUPPORTED_VERSION",
    reason: "UnsupportedByBroker",
    verdicts: everywhere("reconfigure")
  },
  { code: 42, name: "INVALID_REQUEST", verdicts: { EndTxn: "resolve" } },
  {
    code: 43,
    name: "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    reason: "UnsupportedByBroker",
    verdicts: everywhere("reconfigure")
  },
  { code: 44, name: "POLICY_VIOLATION", reason: "RecordRejected", verdicts: rejected },
  {
    code: 45,
    name: "OUT_OF_ORDER_SEQUENCE_NUMBER",
    reason: "TransactionAbortable",
    verdicts: { Produce: "abort and replace" }
  },
  { code: 46, name: "DUPLICATE_SEQUENCE_NUMBER", verdicts: { Produce: "success" } },
  {
    code: 47,
    name: "INVALID_PRODUCER_EPOCH",
    reason: "ProducerFenced",
    verdicts: everywhere("restart")
  },
  {
    code: 48,
    name: "INVALID_TXN_STATE",
    reason: "TransactionAbortable",
    // For a first EndTxn it says that there is nothing to commit any more; the evidence in the log
    // says the same, so it is asked rather than believed.
    verdicts: { ...everywhere("abort and replace"), EndTxn: "resolve" }
  },
  {
    code: 49,
    name: "INVALID_PRODUCER_ID_MAPPING",
    reason: "TransactionAbortable",
    verdicts: { ...everywhere("abort and replace"), EndTxn: "resolve" }
  },
  {
    code: 50,
    name: "INVALID_TRANSACTION_TIMEOUT",
    reason: "Misconfigured",
    verdicts: { InitProducerId: "reconfigure" }
  },
  {
    code: 51,
    name: "CONCURRENT_TRANSACTIONS",
    verdicts: {
      InitProducerId: "retry",
      AddPartitionsToTxn: "retry",
      Produce: "retry",
      AddOffsetsToTxn: "retry",
      TxnOffsetCommit: "retry",
      EndTxn: "retry"
    }
  },
  { code: 52, name: "TRANSACTION_COORDINATOR_FENCED", verdicts: { WriteTxnMarkers: "abort" } },
  {
    code: 53,
    name: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    reason: "NotAuthorized",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 55,
    name: "OPERATION_NOT_ATTEMPTED",
    reason: "TransactionAbortable",
    verdicts: { AddPartitionsToTxn: "abort" }
  },
  { code: 56, name: "KAFKA_STORAGE_ERROR", verdicts: { ...leaderMoved, EndTxn: "resolve" } },
  {
    code: 58,
    name: "SASL_AUTHENTICATION_FAILED",
    reason: "AuthenticationFailed",
    verdicts: everywhere("reconfigure")
  },
  {
    code: 59,
    name: "UNKNOWN_PRODUCER_ID",
    reason: "TransactionAbortable",
    verdicts: { ...everywhere("abort and replace"), EndTxn: "resolve" }
  },
  {
    code: 69,
    name: "GROUP_ID_NOT_FOUND",
    reason: "Misconfigured",
    // To a member: the group has vanished, and joining makes it again. To a join: it is of another
    // kind.
    verdicts: { ConsumerGroupHeartbeat: "abort" }
  },
  { code: 74, name: "FENCED_LEADER_EPOCH", verdicts: leaderMoved },
  { code: 75, name: "UNKNOWN_LEADER_EPOCH", verdicts: leaderMoved },
  // The group hands out a member id, with which the same request is sent again.
  { code: 79, name: "MEMBER_ID_REQUIRED", verdicts: { JoinGroup: "retry" } },
  {
    code: 81,
    name: "GROUP_MAX_SIZE_REACHED",
    verdicts: { JoinGroup: "abort", ConsumerGroupHeartbeat: "abort" }
  },
  { code: 82, name: "FENCED_INSTANCE_ID", reason: "ConsumerFenced", verdicts: memberFenced },
  { code: 87, name: "INVALID_RECORD", reason: "RecordRejected", verdicts: rejected },
  { code: 88, name: "UNSTABLE_OFFSET_COMMIT", verdicts: { OffsetFetch: "retry" } },
  { code: 89, name: "THROTTLING_QUOTA_EXCEEDED", verdicts: { EndTxn: "resolve" } },
  { code: 90, name: "PRODUCER_FENCED", reason: "ProducerFenced", verdicts: everywhere("restart") },
  { code: 100, name: "UNKNOWN_TOPIC_ID", verdicts: leaderMoved },
  {
    code: 105,
    name: "TRANSACTIONAL_ID_NOT_FOUND",
    verdicts: { DescribeTransactions: "abort" }
  },
  { code: 110, name: "FENCED_MEMBER_EPOCH", reason: "ConsumerFenced", verdicts: memberFenced },
  {
    code: 111,
    name: "UNRELEASED_INSTANCE_ID",
    reason: "Misconfigured",
    // The last holder of a static member's name may have died, and is a member for a while yet.
    verdicts: { ConsumerGroupHeartbeat: "retry" }
  },
  {
    code: 112,
    name: "UNSUPPORTED_ASSIGNOR",
    verdicts: { ConsumerGroupHeartbeat: "reconfigure" }
  },
  {
    code: 113,
    name: "STALE_MEMBER_EPOCH",
    reason: "ConsumerFenced",
    // The next epoch is on its way to a member that still owns its partitions; one that does not is
    // told so, and then nothing is committed for it (`internal/consumer/commits.ts`).
    verdicts: { ...memberFenced, OffsetCommit: "retry" }
  },
  {
    code: 120,
    name: "TRANSACTION_ABORTABLE",
    reason: "TransactionAbortable",
    verdicts: { ...everywhere("abort"), EndTxn: "resolve" }
  },
  { code: 128, name: "INVALID_REGULAR_EXPRESSION", verdicts: { ListTransactions: "reconfigure" } }
]

const byCode: ReadonlyMap<number, ErrorCode> = new Map(table.map((row) => [row.code, row]))

/**
 * The protocol's name of a code, or `UNKNOWN(code)` for one that is not in the table.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = (code: number): string => byCode.get(code)?.name ?? `UNKNOWN(${code})`

/**
 * The tag of the reason that a code becomes.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reasonOf = (code: number): CodeReason => byCode.get(code)?.reason ?? "BrokerRefused"

/**
 * What a code means for the request that got it.
 *
 * **Details**
 *
 * A code that is not in the table, or not expected for the request, means `resolve` for EndTxn,
 * where the transaction may have been decided, and `abort and replace` elsewhere.
 *
 * @category accessors
 * @since 0.1.0
 */
export const classify = (request: Request, code: number): Verdict =>
  byCode.get(code)?.verdicts[request] ?? (request === "EndTxn" ? "resolve" : "abort and replace")
