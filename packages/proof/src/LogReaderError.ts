/**
 * What can go wrong when the log is read.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A broker answered with an error code. `error` is its name.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  request: Schema.String,
  code: Schema.Int,
  error: Schema.String
}) {
  override get message(): string {
    return `${this.request} was answered with ${this.error} (${this.code}).`
  }
}

/**
 * No broker answered, or none that could be understood, or the end was not reached in time.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAnswered extends Schema.TaggedError<NotAnswered>()("NotAnswered", {
  problem: Schema.String
}) {
  override get message(): string {
    return `No answer: ${this.problem}.`
  }
}

/**
 * A transaction is still open in the topic: where, and from which offset on.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotSettled extends Schema.TaggedError<NotSettled>()("NotSettled", {
  open: Schema.Array(Schema.Struct({ partition: Schema.Int, lastStableOffset: Schema.BigInt }))
}) {
  override get message(): string {
    const places = this.open.map(({ lastStableOffset, partition }) =>
      `partition ${partition} from offset ${lastStableOffset} on`
    )
    return `A transaction is still open in ${places.join(", ")}.`
  }
}

/**
 * Every failure of the log reader: while doing what, and why.
 *
 * @category errors
 * @since 0.1.0
 */
export class LogReaderError extends Schema.TaggedError<LogReaderError>()("LogReaderError", {
  operation: Schema.String,
  reason: Schema.Union([Refused, NotAnswered, NotSettled])
}) {
  override get message(): string {
    return `While ${this.operation}: ${this.reason.message}`
  }
}
