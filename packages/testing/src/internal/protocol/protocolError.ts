/**
 * What can be wrong with bytes, or with a message that is to become bytes.
 */
import * as Schema from "effect/Schema"

/**
 * The bytes end before the value does.
 */
export class Truncated extends Schema.TaggedError<Truncated>()("Truncated", {
  position: Schema.Int,
  neededBytes: Schema.Number,
  leftBytes: Schema.Int
}) {
  override get message() {
    return `${this.neededBytes} bytes needed at position ${this.position}, ${this.leftBytes} left`
  }
}

/**
 * The bytes are there, and cannot be what they should be.
 */
export class Malformed extends Schema.TaggedError<Malformed>()("Malformed", {
  position: Schema.Int,
  problem: Schema.String
}) {
  override get message() {
    return `${this.problem} at position ${this.position}`
  }
}

/**
 * The API key or the name of an API is not one of Kafka 4.4's.
 */
export class UnknownApi extends Schema.TaggedError<UnknownApi>()("UnknownApi", {
  api: Schema.Union([Schema.Int, Schema.String])
}) {
  override get message() {
    return `Kafka 4.4 has no client API ${this.api}`
  }
}

/**
 * The API exists, and this version of it does not.
 */
export class UnsupportedVersion extends Schema.TaggedError<UnsupportedVersion>()(
  "UnsupportedVersion",
  { api: Schema.String, version: Schema.Int, from: Schema.Int, to: Schema.Int }
) {
  override get message() {
    return `${this.api} has versions ${this.from} to ${this.to}, not ${this.version}`
  }
}

/**
 * A message that was to be written holds a value that its field cannot.
 */
export class InvalidValue extends Schema.TaggedError<InvalidValue>()("InvalidValue", {
  field: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.field}: ${this.problem}`
  }
}

/**
 * A record batch is compressed with something that Node cannot undo by itself.
 */
export class UnsupportedCompression extends Schema.TaggedError<UnsupportedCompression>()(
  "UnsupportedCompression",
  { codec: Schema.String }
) {
  override get message() {
    return `record batches compressed with ${this.codec} are not read; use gzip or none`
  }
}

/**
 * The socket could not be opened, broke, or gave no answer in time.
 */
export class NotConnected extends Schema.TaggedError<NotConnected>()("NotConnected", {
  host: Schema.String,
  port: Schema.Int,
  problem: Schema.String
}) {
  override get message() {
    return `${this.host}:${this.port}: ${this.problem}`
  }
}

/**
 * Every failure of the codec and of the small client above it.
 */
export class ProtocolError extends Schema.TaggedError<ProtocolError>()("ProtocolError", {
  operation: Schema.String,
  reason: Schema.Union([
    Truncated,
    Malformed,
    UnknownApi,
    UnsupportedVersion,
    InvalidValue,
    UnsupportedCompression,
    NotConnected
  ]),
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    return `${this.operation}: ${this.reason.message}`
  }
}

export type Reason = ProtocolError["reason"]

/**
 * Turns what the codec threw into the typed error; anything else is our own defect and stays one.
 */
export const fromThrown = (operation: string) => (thrown: unknown): ProtocolError => {
  if (isReason(thrown)) return new ProtocolError({ operation, reason: thrown })
  throw thrown
}

const isReason = (thrown: unknown): thrown is Reason =>
  thrown instanceof Truncated || thrown instanceof Malformed || thrown instanceof UnknownApi ||
  thrown instanceof UnsupportedVersion || thrown instanceof InvalidValue ||
  thrown instanceof UnsupportedCompression || thrown instanceof NotConnected
