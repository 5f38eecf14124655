/**
 * What can go wrong where an operator looks at transactions, or ends one.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import {
  AuthenticationFailed,
  Misconfigured,
  NotKafka,
  type Recovery,
  TlsFailed,
  UnknownTopic,
  UnsupportedByBroker,
  UnsupportedByDriver
} from "./KafkaError.ts"

/**
 * What was being done when it failed.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Literals([
  "make",
  "list",
  "describe",
  "describeProducers",
  "findHanging",
  "abort",
  "fence"
])

/**
 * What was being done when it failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = typeof Operation.Type

/**
 * A transaction that nobody will end; see `TransactionAdmin.findHanging`.
 *
 * @category models
 * @since 0.1.0
 */
export const HangingTransaction = Schema.Struct({
  topic: Schema.String,
  partition: Schema.Int,
  producerId: Schema.BigInt,
  epoch: Schema.Int,
  lastSequence: Schema.Int,
  lastTimestampMillis: Schema.Finite,
  coordinatorEpoch: Schema.NullOr(Schema.Int),
  startOffset: Schema.BigInt,
  transactionalId: Schema.NullOr(Schema.String)
})

/**
 * A transaction that nobody will end.
 *
 * **Details**
 *
 * *Shape*: what the partition's leader knows of the producer, and `transactionalId`, whose
 * coordinator does not have the partition in a transaction; `null` where no coordinator knows the
 * producer id any more.
 *
 * @category models
 * @since 0.1.0
 */
export type HangingTransaction = typeof HangingTransaction.Type

const Listing = Schema.Struct({
  transactionalId: Schema.String,
  producerId: Schema.BigInt,
  state: Schema.String
})

/**
 * It was not done in time. Nothing was done by halves: each operation may be repeated.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotInTime extends Schema.TaggedError<NotInTime>()("NotInTime", {
  about: Schema.String,
  request: Schema.String,
  afterMillis: Schema.Finite,
  last: Schema.String
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `${this.request} of ${this.about} was not done within ${this.afterMillis} ms (last: ` +
      `${this.last}). It may be repeated; look at the broker that does not answer.`
  }
}

/**
 * A part of the cluster could not be asked; what the rest has told is in the error.
 *
 * **Details**
 *
 * *Shape*: `missing` names each broker or partition, and why. `transactions` is what a list has
 * found, and `hanging` what `findHanging` has.
 *
 * @category errors
 * @since 0.1.0
 */
export class Incomplete extends Schema.TaggedError<Incomplete>()("Incomplete", {
  missing: Schema.Array(Schema.Struct({ what: Schema.String, problem: Schema.String })),
  transactions: Schema.Array(Listing),
  hanging: Schema.Array(HangingTransaction)
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    const told = this.missing.slice(0, 5).map(({ problem, what }) => `${what}: ${problem}`)
    const more = this.missing.length > told.length ? ` and ${this.missing.length - 5} more` : ""
    return `Not all of the cluster has answered (${told.join("; ")}${more}). What the rest has ` +
      "told is in the error; ask again when all of it runs."
  }
}

/**
 * The principal may not do this.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAuthorized extends Schema.TaggedError<NotAuthorized>()("NotAuthorized", {
  request: Schema.String,
  needs: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `Not authorized for ${this.request}. The principal needs ${this.needs}.`
  }
}

/**
 * No coordinator knows the transactional id.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownTransactionalId
  extends Schema.TaggedError<UnknownTransactionalId>()("UnknownTransactionalId", {
    transactionalId: Schema.String
  })
{
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The cluster knows no transactional id "${this.transactionalId}": it is misspelt, was ` +
      "never used, or has expired (transactional.id.expiration.ms)."
  }
}

/**
 * The producer has no such transaction open in the partition: it has ended, or never was.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotOpen extends Schema.TaggedError<NotOpen>()("NotOpen", {
  topic: Schema.String,
  partition: Schema.Int,
  producerId: Schema.BigInt
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The producer id ${this.producerId} does not have this transaction open in ` +
      `"${this.topic}" partition ${this.partition} (any more). There is nothing to abort.`
  }
}

/**
 * The transaction is in good order: its coordinator has it, and will end it.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotHanging extends Schema.TaggedError<NotHanging>()("NotHanging", {
  topic: Schema.String,
  partition: Schema.Int,
  producerId: Schema.BigInt,
  transactionalId: Schema.String,
  state: Schema.String,
  timeoutMillis: Schema.Finite
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `The transaction of producer id ${this.producerId} in "${this.topic}" partition ` +
      `${this.partition} is not hanging: it is "${this.transactionalId}"'s, ${this.state}, and ` +
      `ends at the latest ${this.timeoutMillis} ms after its begin. An abort in one partition ` +
      `would tear it. To end it as a whole, fence "${this.transactionalId}".`
  }
}

/**
 * The partition has seen a newer epoch of the producer or of its coordinator than the one given.
 *
 * @category errors
 * @since 0.1.0
 */
export class Outdated extends Schema.TaggedError<Outdated>()("Outdated", {
  topic: Schema.String,
  partition: Schema.Int,
  producerId: Schema.BigInt,
  name: Schema.String
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `"${this.topic}" partition ${this.partition} refused the abort of producer id ` +
      `${this.producerId} (${this.name}): it knows a newer epoch. Describe its producers again.`
  }
}

/**
 * A broker, or the client, refused a request for a reason that has no meaning of its own here.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  about: Schema.String,
  request: Schema.String,
  problem: Schema.String
}) {
  readonly recovery: Recovery = "abort"
  override get message(): string {
    return `${this.request} of ${this.about} was refused: ${this.problem}. Nothing was changed.`
  }
}

/**
 * Every reason.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  NotInTime,
  Incomplete,
  NotAuthorized,
  UnknownTransactionalId,
  NotOpen,
  NotHanging,
  Outdated,
  Refused,
  UnknownTopic,
  Misconfigured,
  AuthenticationFailed,
  TlsFailed,
  NotKafka,
  UnsupportedByDriver,
  UnsupportedByBroker
])

/**
 * Every reason.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The error of every operation of `TransactionAdmin`: what was being done, and why it failed.
 *
 * **When to use**
 *
 * Use `Effect.catchReason("TransactionAdminError", "NotHanging", ...)` to handle one reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionAdminError
  extends Schema.TaggedError<TransactionAdminError>()("TransactionAdminError", {
    operation: Operation,
    reason: Reason
  })
{
  get recovery(): Recovery {
    return this.reason.recovery
  }
  override get message(): string {
    return `${this.operation}: ${this.reason.message}`
  }
}
