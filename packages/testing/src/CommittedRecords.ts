/**
 * What a reader sees that shares no code with any driver: Kafka's own Java consumer.
 *
 * **Example** (Everything committed in a topic)
 *
 * ```ts
 * import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
 * import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const { bootstrapServers, classPath, createTopic } = yield* EmbeddedKafka.EmbeddedKafka
 *   yield* createTopic("orders")
 *   const records = yield* CommittedRecords.read({ bootstrapServers, classPath, topic: "orders" })
 *   return records.length
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { defaultVersion } from "./EmbeddedKafka.ts"
import * as EmbeddedKafkaError from "./EmbeddedKafkaError.ts"
import * as ChildProcess from "./internal/childProcess.ts"
import * as ClassArchive from "./internal/classArchive.ts"
import * as Jars from "./internal/jars.ts"
import * as Java from "./internal/java.ts"
import { withLiveClock } from "./internal/liveClock.ts"

/**
 * One record as it lies in the log.
 *
 * **Details**
 *
 * - *Shape*: `null` is Kafka's null, in a key, a value or a header's value. Headers keep their
 *   order and repeats.
 * - *Units and bounds*: `timestamp` is in milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommittedRecord {
  readonly partition: number
  readonly offset: bigint
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<readonly [name: string, value: Uint8Array | null]>
}

/**
 * What to read.
 *
 * **Details**
 *
 * - *Shape*: `isolation` is `read_committed` by default. `classPath` is an embedded broker's;
 *   without it Kafka's jars are resolved as for one. `properties` are the Java consumer's own, such
 *   as `security.protocol`; they reach it through a pipe, not through its arguments.
 * - *Units and bounds*: `limit` bounds the whole reading; 60 s by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly bootstrapServers: ReadonlyArray<string>
  readonly classPath?: string | undefined
  readonly topic: string
  readonly isolation?: "read_committed" | "read_uncommitted" | undefined
  readonly properties?: Readonly<Record<string, string>> | undefined
  readonly limit?: Duration.Input | undefined
}

/**
 * Reads a topic from its beginning to its end, partition by partition in the order of offsets.
 *
 * **When to use**
 *
 * As the last word of a test or a demonstration about what is in a topic.
 *
 * **Details**
 *
 * The end is the last stable offset when it starts: what an open transaction holds back is not
 * waited for. Starts a Java of its own, from source.
 *
 * - *Units and bounds*: about 2 s, also for 60,000 records.
 * - *Errors*: `NoJava`, `JavaTooOld`; `RequestRefused` for a topic that does not exist, and for
 *   a broker that does not answer or an end that is not reached within `limit`.
 *
 * @category operations
 * @since 0.1.0
 */
export const read = (
  options: Options
): Effect.Effect<ReadonlyArray<CommittedRecord>, EmbeddedKafkaError.EmbeddedKafkaError> =>
  withLiveClock(run(options))

/** What a Java that is slow to start gets on top of the limit. */
const startAllowance = Duration.seconds(30)

const run = Effect.fn("CommittedRecords.read")(function*(options: Options) {
  const java = yield* Java.find
  const classPath = options.classPath ?? (yield* resolveClassPath(java))
  const limit = Duration.fromInputUnsafe(options.limit ?? "60 seconds")
  const lines: Array<string> = []
  const finished = yield* ChildProcess.run(java.command, [
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-cp",
    classPath,
    join(Jars.javaDirectory, "CommittedRecords.java"),
    options.topic
  ], { input: properties(options, limit), onLine: (line) => lines.push(line) }).pipe(
    // Its requests keep the limit by themselves, after Java has started; the rest is caught here.
    Effect.timeoutOrElse({
      duration: Duration.sum(limit, startAllowance),
      orElse: () => Effect.fail(refused(options, "NoAnswer", "the end was not reached in time"))
    })
  )
  // The last line proves that nothing was cut off.
  if (finished.code !== 0 || lines.pop() !== "end") {
    return yield* refused(options, "ReaderFailed", complaint(finished))
  }
  return lines.map(parse).sort((one, other) =>
    one.partition - other.partition || (one.offset < other.offset ? -1 : 1)
  )
})

// For a cluster that nobody here has started.
const resolveClassPath = (java: Java.Java) =>
  Effect.map(
    Jars.resolve(defaultVersion, java, (path, archive) => ClassArchive.make(java, path, archive)),
    (jars) => jars.classPath
  )

const properties = (options: Options, limit: Duration.Duration): string =>
  Object.entries({
    "bootstrap.servers": options.bootstrapServers.join(","),
    "isolation.level": options.isolation ?? "read_committed",
    "enable.auto.commit": "false",
    "auto.offset.reset": "none",
    "allow.auto.create.topics": "false",
    "default.api.timeout.ms": String(Duration.toMillis(limit)),
    ...options.properties
  }).map((pair) => `${pair.map(escaped).join("=")}\n`).join("")

/** Java's properties give most punctuation a meaning; a code point has none. */
const escaped = (text: string): string =>
  text.replace(
    /[^A-Za-z0-9.]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const refused = (options: Options, error: string, detail: string) =>
  EmbeddedKafkaError.make(
    new EmbeddedKafkaError.RequestRefused({
      request: `reading the topic ${JSON.stringify(options.topic)} at ` +
        options.bootstrapServers.join(","),
      error,
      detail
    })
  )

const complaint = (finished: ChildProcess.Finished): string => {
  const lines = finished.errors.split("\n")
  const thrown = lines.find((line) => line.startsWith("failed: "))
  return thrown ?? finished.failure ?? `code ${finished.code}, ${lines.slice(-5).join("\n")}`
}

const parse = (line: string): CommittedRecord => {
  const [partition, offset, timestamp, key, value, ...headers] = line.split("\t")
  return {
    partition: Number(partition),
    offset: BigInt(offset ?? ""),
    timestamp: BigInt(timestamp ?? ""),
    key: bytes(key),
    value: bytes(value),
    headers: headers.flatMap((name, index) =>
      index % 2 === 0
        ? [[Buffer.from(name, "base64").toString("utf8"), bytes(headers[index + 1])] as const]
        : []
    )
  }
}

const bytes = (text: string | undefined): Uint8Array | null =>
  text === undefined || text === "-" ? null : new Uint8Array(Buffer.from(text, "base64"))
