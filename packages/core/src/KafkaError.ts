/**
 * The one error of the library: what was being done, and the reason why it failed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What a program can do about a failure; every reason has exactly one.
 *
 * **Details**
 *
 * *Shape*
 * - `retry`: the transaction is definitely aborted, or never began; running it again is safe.
 * - `refresh`: look up leader or coordinator again. The library does so by itself, and no reason
 *   that reaches a program has it today.
 * - `abort`: what was asked cannot be committed as it is; running it again gives the same answer.
 * - `restart`: this producer is no longer the owner of its transactional id, or is closed.
 * - `reconfigure`: rights, configuration, versions or names must change first.
 * - `resolve`: the outcome is not proven yet; ask again with `Transaction.resolve`, never re-run.
 *
 * @see KIP-1050 for the classes these follow
 * @category models
 * @since 0.1.0
 */
export type Recovery = "retry" | "refresh" | "abort" | "restart" | "reconfigure" | "resolve"

/**
 * What was being done when it failed.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Literals([
  "initialize",
  "begin",
  "send",
  "sendOffsets",
  "commit",
  "abort",
  "resolve",
  "consume",
  "commitOffsets"
])

/**
 * What was being done when it failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = typeof Operation.Type

/**
 * No definite answer came within the deadline, whose last refusal or failure is named. The
 * transaction is aborted. Never the reason of a commit: that is {@link CommitOutcomeUnknown}.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {
  request: Schema.String,
  afterMillis: Schema.Finite,
  last: Schema.String
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `${this.request} was not done within ${Math.round(this.afterMillis)} ms (last: ` +
      `${this.last}). A transaction that it was part of is aborted; run it again.`
  }
}

/**
 * The transaction took longer than it may: the broker, or the library before it, has ended it.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionTimedOut
  extends Schema.TaggedError<TransactionTimedOut>()("TransactionTimedOut", {
    transactionalId: Schema.String,
    limitMillis: Schema.Finite
  })
{
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `The transaction of "${this.transactionalId}" outlived its ${this.limitMillis} ms and ` +
      "is aborted. Make the batch smaller or raise transactionTimeout."
  }
}

/**
 * The coordinator refused the commit at its first attempt, or what could have decided it never
 * reached it; the transaction is proven to be aborted.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommitRefused extends Schema.TaggedError<CommitRefused>()("CommitRefused", {
  transactionalId: Schema.String,
  last: Schema.String
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `The commit of "${this.transactionalId}" did not happen (${this.last}); the ` +
      "transaction is aborted. Run it again."
  }
}

/**
 * No broker answers. Callers fail at once with this reason until one does.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {
  sinceMillis: Schema.Finite,
  last: Schema.String
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `No broker has answered for ${Math.round(this.sinceMillis)} ms (last: ${this.last}). ` +
      "Check the addresses and the network; who runs already goes on by itself when one answers."
  }
}

/**
 * Too many callers wait for this producer's one open transaction, or one waited too long.
 *
 * @category errors
 * @since 0.1.0
 */
export class Busy extends Schema.TaggedError<Busy>()("Busy", {
  transactionalId: Schema.String,
  waiting: Schema.Int,
  waitedMillis: Schema.Finite
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `"${this.transactionalId}" has one transaction open and ${this.waiting} callers ` +
      `waiting; this one gave up after ${
        Math.round(this.waitedMillis)
      } ms. Use more producers, each with ` +
      "a transactional id of its own."
  }
}

/**
 * Another instance has taken over the transactional id. Fatal for this producer.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProducerFenced extends Schema.TaggedError<ProducerFenced>()("ProducerFenced", {
  transactionalId: Schema.String,
  producerId: Schema.BigInt,
  epoch: Schema.Int
}) {
  readonly recovery: Recovery = "restart"
  override get message(): string {
    return `Another instance uses the transactional id "${this.transactionalId}" and has fenced ` +
      `this producer (id ${this.producerId}, epoch ${this.epoch}). Stop one of the two, or give ` +
      "each an id of its own."
  }
}

/**
 * The producer is closed: the scope in which it was made has ended.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProducerClosed extends Schema.TaggedError<ProducerClosed>()("ProducerClosed", {
  transactionalId: Schema.String
}) {
  readonly recovery: Recovery = "restart"
  override get message(): string {
    return `The producer "${this.transactionalId}" is closed: its scope has ended. Use it within ` +
      "the scope or layer that made it."
  }
}

/**
 * The principal may not do this.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAuthorized extends Schema.TaggedError<NotAuthorized>()("NotAuthorized", {
  resource: Schema.Literals(["topic", "group", "cluster", "transactional id"]),
  name: Schema.String,
  request: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `Not authorized for ${this.request} on ${this.resource} "${this.name}". Grant the ` +
      "principal the right (to write: Write on the transactional id and on the topics; to read: " +
      "Read on the group and on the topics)."
  }
}

/**
 * The broker refused the credentials or the mechanism.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticationFailed
  extends Schema.TaggedError<AuthenticationFailed>()("AuthenticationFailed", {
    detail: Schema.String
  })
{
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `Authentication failed: ${this.detail}. Check user, password and SASL mechanism.`
  }
}

/**
 * The TLS handshake failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsFailed extends Schema.TaggedError<TlsFailed>()("TlsFailed", {
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The TLS handshake failed: ${this.detail}. Check the certificate, its authority and ` +
      "the host name."
  }
}

/**
 * What answers at the address is not a Kafka broker.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotKafka extends Schema.TaggedError<NotKafka>()("NotKafka", {
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `What answers is not a Kafka broker: ${this.detail}. Check the address, the port and ` +
      "whether the listener expects TLS."
  }
}

/**
 * The driver cannot do what was asked without giving up a guarantee.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedByDriver
  extends Schema.TaggedError<UnsupportedByDriver>()("UnsupportedByDriver", {
    driver: Schema.String,
    capability: Schema.String
  })
{
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The driver "${this.driver}" lacks ${this.capability}, which this needs. Use a driver ` +
      "that has it."
  }
}

/**
 * The broker does not speak a version that the client needs.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedByBroker
  extends Schema.TaggedError<UnsupportedByBroker>()("UnsupportedByBroker", {
    request: Schema.String,
    code: Schema.Int,
    name: Schema.String
  })
{
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    const said = `The broker does not support ${this.request} as it was sent (${this.name}). `
    return said + (this.request === "ConsumerGroupHeartbeat"
      ? "Leave groupProtocol out, or use Kafka 4.0 or newer with the consumer group protocol on " +
        "(group.coordinator.rebalance.protocols, and the feature group.version)."
      : "Upgrade the broker, or use a client that speaks its version.")
  }
}

/**
 * A setting is outside what the library or the broker takes.
 *
 * @category errors
 * @since 0.1.0
 */
export class Misconfigured extends Schema.TaggedError<Misconfigured>()("Misconfigured", {
  setting: Schema.String,
  value: Schema.String,
  problem: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `${this.setting} = ${this.value}: ${this.problem}.`
  }
}

/**
 * The topic or the partition does not exist.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownTopic extends Schema.TaggedError<UnknownTopic>()("UnknownTopic", {
  topic: Schema.String,
  partition: Schema.optionalKey(Schema.Int)
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return this.partition === undefined
      ? `The topic "${this.topic}" does not exist. Create it first; topics are not created by ` +
        "sending to them."
      : `The topic "${this.topic}" has no partition ${this.partition}.`
  }
}

/**
 * A record cannot be sent as it is; nothing was written. `index` counts from 0 within one `send`.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRecord extends Schema.TaggedError<InvalidRecord>()("InvalidRecord", {
  index: Schema.Int,
  topic: Schema.String,
  problem: Schema.String
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `Record ${this.index} for topic "${this.topic}": ${this.problem}.`
  }
}

/**
 * The broker does not take a batch of records as it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class RecordRejected extends Schema.TaggedError<RecordRejected>()("RecordRejected", {
  topic: Schema.String,
  partition: Schema.Int,
  code: Schema.Int,
  name: Schema.String,
  records: Schema.Int,
  bytes: Schema.Int
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The broker rejected ${this.records} records (${this.bytes} bytes) for ` +
      `"${this.topic}" partition ${this.partition}: ${this.name}. Make the records smaller or ` +
      "raise the topic's max.message.bytes."
  }
}

/**
 * The broker says that this transaction cannot go on: its session, sequences or registration are no
 * longer good. The library has aborted it and opened a new session.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionAbortable
  extends Schema.TaggedError<TransactionAbortable>()("TransactionAbortable", {
    request: Schema.String,
    code: Schema.Int,
    name: Schema.String
  })
{
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `The broker ended the transaction at ${this.request}: ${this.name} (${this.code}). It ` +
      "is aborted; run it again."
  }
}

/**
 * The broker refused a request for a reason that has no meaning of its own here.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerRefused extends Schema.TaggedError<BrokerRefused>()("BrokerRefused", {
  request: Schema.String,
  code: Schema.Int,
  name: Schema.String
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The broker refused ${this.request}: ${this.name} (${this.code}). The transaction is ` +
      "aborted."
  }
}

/**
 * The group has moved on: the member or generation that fetched these offsets is no longer in it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConsumerFenced extends Schema.TaggedError<ConsumerFenced>()("ConsumerFenced", {
  groupId: Schema.String,
  code: Schema.Int,
  name: Schema.String
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The group "${this.groupId}" refused the offsets (${this.name}): they belong to an ` +
      "older assignment. Drop the batch; its records are read again by their new owner."
  }
}

/**
 * The consumer reads these partitions from elsewhere since it handed the batch out: it was asked to
 * seek or to rewind. What it would commit may be behind records that are to be read again.
 *
 * @category errors
 * @since 0.1.0
 */
export class OffsetsSuperseded
  extends Schema.TaggedError<OffsetsSuperseded>()("OffsetsSuperseded", { groupId: Schema.String })
{
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The offsets of the group "${this.groupId}" are from before a seek or a rewind. Drop ` +
      "the batch, and go on with those that come after it."
  }
}

/**
 * The position of a group in a partition is not in the log: what was there has been deleted, or was
 * never written. Going on elsewhere would skip records, so the program has to choose.
 *
 * @category errors
 * @since 0.1.0
 */
export class OffsetOutOfRange extends Schema.TaggedError<OffsetOutOfRange>()("OffsetOutOfRange", {
  groupId: Schema.String,
  topic: Schema.String,
  partition: Schema.Int,
  position: Schema.BigInt
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The position ${this.position} of the group "${this.groupId}" is not in the log of ` +
      `"${this.topic}" partition ${this.partition}: its records are deleted. Set whenOutOfRange ` +
      "to go on elsewhere, or reset the group's offset."
  }
}

/**
 * A record cannot be decoded, and there is no dead-letter topic for it.
 *
 * @category errors
 * @since 0.1.0
 */
export class UndecodableRecord
  extends Schema.TaggedError<UndecodableRecord>()("UndecodableRecord", {
    topic: Schema.String,
    partition: Schema.Int,
    offset: Schema.BigInt,
    part: Schema.Literals(["key", "value"]),
    problem: Schema.String
  })
{
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The ${this.part} of the record at offset ${this.offset} of "${this.topic}" partition ` +
      `${this.partition} cannot be decoded: ${this.problem}. Correct the schema, or name a ` +
      "dead-letter topic."
  }
}

/**
 * The body succeeded, but something it asked for was not done: a send or an offset commit failed,
 * was interrupted or has not settled. Half a transaction is never committed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionTainted
  extends Schema.TaggedError<TransactionTainted>()("TransactionTainted", {
    transactionalId: Schema.String,
    first: Schema.String,
    retryable: Schema.Boolean
  })
{
  get recovery(): Recovery {
    return this.retryable ? "retry" : "abort"
  }
  override get message(): string {
    return `The body of the transaction of "${this.transactionalId}" succeeded, but not all of ` +
      `it was done: ${this.first} It is aborted. Let the failure of a send fail the body.`
  }
}

/**
 * The transaction was used after its scope has ended.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionEnded extends Schema.TaggedError<TransactionEnded>()("TransactionEnded", {
  transactionalId: Schema.String
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The transaction of "${this.transactionalId}" has ended; it cannot be used after its ` +
      "scope. Begin another."
  }
}

/**
 * A transaction of this producer is already open in the same scope or context, so that waiting for
 * it would never end.
 *
 * @category errors
 * @since 0.1.0
 */
export class NestedTransaction
  extends Schema.TaggedError<NestedTransaction>()("NestedTransaction", {
    transactionalId: Schema.String
  })
{
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `"${this.transactionalId}" already has its transaction open here, and has only one at ` +
      "a time. Send in the open one, or begin when it has ended."
  }
}

/**
 * A committed or pending position of a consumer group, by which the outcome can be told.
 *
 * @category models
 * @since 0.1.0
 */
export const OffsetEvidence = Schema.Struct({
  groupId: Schema.String,
  token: Schema.String,
  topic: Schema.String,
  partition: Schema.Int,
  offset: Schema.BigInt
})

/**
 * A record of the transaction that the broker has acknowledged.
 *
 * @category models
 * @since 0.1.0
 */
export const Acknowledged = Schema.Struct({
  topic: Schema.String,
  partition: Schema.Int,
  offset: Schema.BigInt
})

/**
 * The commit was sent and its outcome could not be proven within the deadline. The transaction is
 * committed or aborted, never half of each; which of the two, `Transaction.resolve` tells later,
 * also from another process: this reason is plain data, and `Schema` encodes it.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommitOutcomeUnknown
  extends Schema.TaggedError<CommitOutcomeUnknown>()("CommitOutcomeUnknown", {
    transactionalId: Schema.String,
    producerId: Schema.BigInt,
    epoch: Schema.Int,
    acknowledged: Schema.Array(Acknowledged),
    offsets: Schema.Array(OffsetEvidence)
  })
{
  readonly recovery: Recovery = "resolve"
  override get message(): string {
    return `The commit of "${this.transactionalId}" (producer id ${this.producerId}, epoch ` +
      `${this.epoch}) was sent, and it is not proven yet whether it happened. Do not run it ` +
      "again; ask with Transaction.resolve."
  }
}

/**
 * Every reason.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  TimedOut,
  TransactionTimedOut,
  CommitRefused,
  Unreachable,
  Busy,
  ProducerFenced,
  ProducerClosed,
  NotAuthorized,
  AuthenticationFailed,
  TlsFailed,
  NotKafka,
  UnsupportedByDriver,
  UnsupportedByBroker,
  Misconfigured,
  UnknownTopic,
  InvalidRecord,
  RecordRejected,
  TransactionAbortable,
  BrokerRefused,
  ConsumerFenced,
  OffsetsSuperseded,
  OffsetOutOfRange,
  UndecodableRecord,
  TransactionTainted,
  TransactionEnded,
  NestedTransaction,
  CommitOutcomeUnknown
])

/**
 * Every reason.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The error of every operation of the library.
 *
 * **When to use**
 *
 * Use `Effect.catchReason("KafkaError", "ProducerFenced", ...)` to handle one reason, and
 * `error.recovery` to decide by what can be done about it.
 *
 * **Details**
 *
 * *Shape*: `operation` is what was being done, `reason` holds the data, `recovery` is the reason's.
 *
 * **Gotchas**
 *
 * Recover from a transaction's errors outside its scope. What is recovered inside it counts as
 * success there.
 *
 * @category errors
 * @since 0.1.0
 */
export class KafkaError extends Schema.TaggedError<KafkaError>()("KafkaError", {
  operation: Operation,
  reason: Reason
}) {
  get recovery(): Recovery {
    return this.reason.recovery
  }
  override get message(): string {
    return `${this.operation}: ${this.reason.message}`
  }
}

/**
 * Whether a value is a {@link KafkaError}.
 *
 * @category guards
 * @since 0.1.0
 */
export const isKafkaError = (value: unknown): value is KafkaError => value instanceof KafkaError
