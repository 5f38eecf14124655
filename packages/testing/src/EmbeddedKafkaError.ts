/**
 * What can go wrong with a broker of one's own, as data: each reason says what happened, to what,
 * and what to do.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What a person does about a reason: `retry` the same thing, or change the machine or the options
 * (`reconfigure`), or read the broker's log (`resolve`).
 *
 * @category models
 * @since 0.1.0
 */
export type Recovery = "retry" | "reconfigure" | "resolve"

/**
 * No Java was found, or it cannot be run, or it has no compiler.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoJava extends Schema.TaggedError<NoJava>()("NoJava", {
  command: Schema.String,
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `A broker needs a Java development kit, version 17 or newer, and "${this.command}" ` +
      `cannot be used: ${this.detail}. Install one (on Debian: apt-get install ` +
      "openjdk-17-jdk-headless), or set JAVA_HOME to one."
  }
}

/**
 * The Java that was found is older than the broker's oldest.
 *
 * @category errors
 * @since 0.1.0
 */
export class JavaTooOld extends Schema.TaggedError<JavaTooOld>()("JavaTooOld", {
  command: Schema.String,
  found: Schema.Int,
  required: Schema.Int
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `"${this.command}" is Java ${this.found}, and the broker needs ${this.required} or ` +
      `newer. Install a newer one, or set JAVA_HOME to one.`
  }
}

/**
 * Maven was not found. It is needed once, to resolve the broker's jars.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoMaven extends Schema.TaggedError<NoMaven>()("NoMaven", {
  command: Schema.String,
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The jars of the broker are resolved by Maven, and "${this.command}" cannot be run: ` +
      `${this.detail}. Install Maven (on Debian: apt-get install maven); it is needed once per ` +
      "version of Kafka."
  }
}

/**
 * The jars are not in the cache, and Maven could not download them.
 *
 * @category errors
 * @since 0.1.0
 */
export class Offline extends Schema.TaggedError<Offline>()("Offline", {
  version: Schema.String,
  detail: Schema.String
}) {
  readonly recovery: Recovery = "retry"
  override get message(): string {
    return `Apache Kafka ${this.version} is not in the cache, and Maven could not download it: ` +
      `${this.detail}. Run once with a network (or configure a mirror in Maven's settings.xml); ` +
      "later runs need none."
  }
}

/**
 * A port is taken by another process. `option` names the option that asked for it; it is `null`
 * for a port that was free when it was chosen.
 *
 * @category errors
 * @since 0.1.0
 */
export class PortInUse extends Schema.TaggedError<PortInUse>()("PortInUse", {
  port: Schema.Int,
  option: Schema.NullOr(Schema.String)
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    const choose = this.option === null
      ? "or start a new broker: it chooses another."
      : `choose another "${this.option}", or leave it out: then a free port is chosen.`
    return `Port ${this.port} of 127.0.0.1 is in use by another process. Stop that process, ` +
      choose
  }
}

/**
 * The broker ran out of memory, or the machine could not give it as much as it asked for.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", {
  maximumHeapMegabytes: Schema.Int,
  logTail: Schema.String,
  logFile: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The broker had too little memory with a heap of ${this.maximumHeapMegabytes} MB. ` +
      `Raise "maximumHeapMegabytes" if the heap was full, or lower it if the machine had no more ` +
      `to give. The end of its log (${this.logFile}):\n${this.logTail}`
  }
}

/**
 * The broker did not start, or did not get ready in time, for a reason that only its log tells.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerFailed extends Schema.TaggedError<BrokerFailed>()("BrokerFailed", {
  detail: Schema.String,
  logTail: Schema.String,
  logFile: Schema.String
}) {
  readonly recovery: Recovery = "resolve"
  override get message(): string {
    return `The broker did not start: ${this.detail}. Read the end of its log ` +
      `(${this.logFile}):\n${this.logTail}`
  }
}

/**
 * An option has a value that cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadOption extends Schema.TaggedError<BadOption>()("BadOption", {
  option: Schema.String,
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `The option "${this.option}" cannot be used: ${this.detail}. Correct it.`
  }
}

/**
 * The broker refused a request of its owner, such as a topic that exists already, or it is
 * stopped.
 *
 * **Details**
 *
 * - *Shape*: `error` is the Java client's name of the failure, such as `TopicExistsException`;
 *   `NotRunning` when the broker is stopped, `NoAnswer` when it did not answer in time,
 *   `NotInTime` when nodes did not come to be as it was waited for.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestRefused extends Schema.TaggedError<RequestRefused>()("RequestRefused", {
  request: Schema.String,
  error: Schema.String,
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `${this.request} was refused (${this.error}): ${this.detail}`
  }
}

/**
 * The machine would not do what the broker needs: a directory, a file, a tool of the JDK.
 *
 * @category errors
 * @since 0.1.0
 */
export class MachineFailed extends Schema.TaggedError<MachineFailed>()("MachineFailed", {
  step: Schema.String,
  detail: Schema.String
}) {
  readonly recovery: Recovery = "reconfigure"
  override get message(): string {
    return `${this.step} failed: ${this.detail}. Check the rights and the free space of the ` +
      "cache and temporary directories."
  }
}

/**
 * Why an operation of {@link EmbeddedKafkaError} failed.
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  NoJava,
  JavaTooOld,
  NoMaven,
  Offline,
  PortInUse,
  OutOfMemory,
  BrokerFailed,
  BadOption,
  RequestRefused,
  MachineFailed
])

/**
 * @category errors
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The one error of this package's brokers.
 *
 * **When to use**
 *
 * Handle a reason with `Effect.catchReason("EmbeddedKafkaError", "NoJava", ...)`, or print
 * `message`, which says what to do.
 *
 * @category errors
 * @since 0.1.0
 */
export class EmbeddedKafkaError
  extends Schema.TaggedError<EmbeddedKafkaError>()("EmbeddedKafkaError", { reason: Reason })
{
  get recovery(): Recovery {
    return this.reason.recovery
  }
  override get message(): string {
    return this.reason.message
  }
}

/**
 * Wraps a reason, ready to be yielded.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reason: Reason): EmbeddedKafkaError => new EmbeddedKafkaError({ reason })
