/**
 * Error codes that mean the same for many requests.
 *
 * @since 0.1.0
 */
import type { ErrorName } from "@kafka-once/testing/FaultProxyRule"

/**
 * The broker could not answer in time.
 *
 * @since 0.1.0
 */
export const transient = ["REQUEST_TIMED_OUT", "NETWORK_EXCEPTION"] as const

/**
 * The coordinator is elsewhere, or not ready.
 *
 * @since 0.1.0
 */
export const coordinator = [
  "COORDINATOR_LOAD_IN_PROGRESS",
  "COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR"
] as const

/**
 * The leader is elsewhere, or not ready.
 *
 * @since 0.1.0
 */
export const leader = [
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_OR_FOLLOWER",
  "BROKER_NOT_AVAILABLE",
  "REPLICA_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "UNKNOWN_TOPIC_ID"
] as const

/**
 * Too few replicas follow.
 *
 * @since 0.1.0
 */
export const replicas = ["NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"] as const

/**
 * The principal may not.
 *
 * @since 0.1.0
 */
export const rights = [
  "TOPIC_AUTHORIZATION_FAILED",
  "GROUP_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
] as const

/**
 * The broker does not know the version.
 *
 * @since 0.1.0
 */
export const versions = ["UNSUPPORTED_VERSION", "UNSUPPORTED_FOR_MESSAGE_FORMAT"] as const

/**
 * Answers to a hand-shake.
 *
 * @since 0.1.0
 */
export const handShake = [
  "UNSUPPORTED_SASL_MECHANISM",
  "ILLEGAL_SASL_STATE",
  "SASL_AUTHENTICATION_FAILED"
] as const

/**
 * The epoch is no longer the newest.
 *
 * @since 0.1.0
 */
export const fences = ["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"] as const

/**
 * The transaction, or its producer, is not what the broker knows.
 *
 * @since 0.1.0
 */
export const states = [
  "INVALID_TXN_STATE",
  "INVALID_PRODUCER_ID_MAPPING",
  "UNKNOWN_PRODUCER_ID",
  "TRANSACTION_ABORTABLE"
] as const

/**
 * The group has moved on.
 *
 * @since 0.1.0
 */
export const members = [
  "ILLEGAL_GENERATION",
  "UNKNOWN_MEMBER_ID",
  "REBALANCE_IN_PROGRESS",
  "FENCED_INSTANCE_ID",
  "FENCED_MEMBER_EPOCH",
  "STALE_MEMBER_EPOCH"
] as const satisfies ReadonlyArray<ErrorName>

/**
 * A code that no version of Kafka has yet.
 *
 * @since 0.1.0
 */
export const unheardOf = 9_999
