/**
 * What can go wrong with a fault proxy itself: never a fault that it was asked to make.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The proxy's own port could not be opened.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", {
  host: Schema.String,
  port: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    return `Cannot listen on ${this.host}:${this.port}: ${this.problem}`
  }
}

/**
 * The proxy's certificate, or its key, cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidCertificate extends Schema.TaggedError<InvalidCertificate>()(
  "InvalidCertificate",
  { problem: Schema.String }
) {
  override get message(): string {
    return `The certificate cannot be used: ${this.problem}. Both are PEM, and belong together.`
  }
}

/**
 * A rule cannot be used: it names an API, action or field that does not exist, or asks for
 * something that cannot happen.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRule extends Schema.TaggedError<InvalidRule>()("InvalidRule", {
  rule: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Rule ${this.rule} cannot be used: ${this.problem}`
  }
}

/**
 * A schedule cannot be read, or is not one.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSchedule extends Schema.TaggedError<InvalidSchedule>()("InvalidSchedule", {
  source: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.source} is not a fault schedule: ${this.problem}`
  }
}

/**
 * Nothing listens at the target.
 *
 * @category errors
 * @since 0.1.0
 */
export class TargetUnreachable extends Schema.TaggedError<TargetUnreachable>()(
  "TargetUnreachable",
  { host: Schema.String, port: Schema.Int, problem: Schema.String }
) {
  override get message(): string {
    return `Nothing answers at ${this.host}:${this.port}: ${this.problem}. Start the broker first.`
  }
}

/**
 * Something listens at the target, and it does not answer as a Kafka broker does, with TLS or
 * without, as the target says.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotKafka extends Schema.TaggedError<NotKafka>()("NotKafka", {
  host: Schema.String,
  port: Schema.Int,
  tls: Schema.Boolean,
  problem: Schema.String
}) {
  override get message(): string {
    const kind = this.tls ? "with TLS and a trusted certificate" : "without TLS"
    return `${this.host}:${this.port} is not a Kafka listener ${kind}: ${this.problem}`
  }
}

/**
 * Rules that never fired: the faults they stand for did not happen, so the test proved nothing.
 *
 * @category errors
 * @since 0.1.0
 */
export class RuleNeverFired extends Schema.TaggedError<RuleNeverFired>()("RuleNeverFired", {
  rules: Schema.Array(Schema.Struct({ name: Schema.String, matched: Schema.Int }))
}) {
  override get message(): string {
    const rules = this.rules.map(({ matched, name }) => `"${name}" (${matched} frames matched)`)
    return `The fault never happened: ${rules.join(", ")}`
  }
}

/**
 * A gate was to be released behind which nothing is held.
 *
 * @category errors
 * @since 0.1.0
 */
export class NothingHeld extends Schema.TaggedError<NothingHeld>()("NothingHeld", {
  gate: Schema.String
}) {
  override get message(): string {
    return `Nothing is held behind the gate "${this.gate}". Wait for the rule's \`fired\` first.`
  }
}

/**
 * A frame that was waited for did not come.
 *
 * @category errors
 * @since 0.1.0
 */
export class FrameNotSeen extends Schema.TaggedError<FrameNotSeen>()("FrameNotSeen", {
  match: Schema.String,
  limitMillis: Schema.Finite
}) {
  override get message(): string {
    return `No frame like ${this.match} was seen within ${this.limitMillis} ms`
  }
}

/**
 * The one error of the fault proxy.
 *
 * **Details**
 *
 * *Shape*: `operation` is the function that failed; `reason` says why.
 *
 * *Errors*
 * - `ListenFailed`, `TargetUnreachable`, `NotKafka`: nothing has started; correct the address.
 * - `InvalidCertificate`: nothing has started; correct the files.
 * - `InvalidRule`, `InvalidSchedule`: nothing has started; correct the rule.
 * - `RuleNeverFired`: the test did not meet the fault it is about.
 * - `NothingHeld`, `FrameNotSeen`: the test and the wire disagree; look at the wire log.
 *
 * @category errors
 * @since 0.1.0
 */
export class FaultProxyError extends Schema.TaggedError<FaultProxyError>()("FaultProxyError", {
  operation: Schema.String,
  reason: Schema.Union([
    ListenFailed,
    InvalidCertificate,
    InvalidRule,
    InvalidSchedule,
    TargetUnreachable,
    NotKafka,
    RuleNeverFired,
    NothingHeld,
    FrameNotSeen
  ])
}) {
  override get message(): string {
    return `FaultProxy.${this.operation}: ${this.reason.message}`
  }
}
