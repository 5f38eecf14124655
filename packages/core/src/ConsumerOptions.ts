/**
 * The settings of a consumer, their defaults and their bounds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { GroupProtocolName, Isolation } from "./ConsumerDriver.ts"
import * as BoundedDuration from "./internal/boundedDuration.ts"
import { KafkaError, Misconfigured } from "./KafkaError.ts"

/**
 * The settings of a consumer.
 *
 * **Details**
 *
 * *Shape and units*
 * - `groupId`: 1 to 249 characters; the members of one group share the partitions of its topics.
 * - `topics`: at least one; each must exist.
 * - `groupProtocol` (`"classic"`): `"consumer"` lets the broker assign the partitions (KIP-848), so
 *   that a rebalance takes from a member only what another gets. Needs Kafka 4.0 and a driver that
 *   can. The broker then decides how often there is a heartbeat (`heartbeatInterval` must be left
 *   out) and after which silence a member is out (`group.consumer.session.timeout.ms`, 45 s).
 * - `groupInstanceId`: makes the member static (KIP-345): a restart within `sessionTimeout` moves
 *   no partition. Needs a driver that can.
 * - `isolation` (`"read_committed"`): whether records of aborted and open transactions are seen.
 * - `startFrom` (`"earliest"`): where a partition is read from in which the group has no position.
 * - `whenOutOfRange` (`"fail"`): what to do where the group's position is no longer in the log.
 *   `"earliest"` and `"latest"` skip records, and say so in the log.
 * - `sessionTimeout` (45 s): without a heartbeat for so long the member is out of the group. With
 *   the consumer protocol: after such a silence of the broker it gives its partitions up by itself.
 * - `heartbeatInterval` (3 s): at most a third of `sessionTimeout`.
 * - `rebalanceTimeout` (60 s): how long a rebalance waits for this member to let partitions go.
 * - `requestTimeout` (3 s): how long one request may go without an answer; `connectTimeout` (10 s):
 *   opening a session.
 * - `fetchWait` (500 ms): how long a broker waits for records before it answers that there are
 *   none.
 * - `maxFetchBytes` (8 MiB) and `maxPartitionFetchBytes` (1 MiB): one fetch, of all partitions of a
 *   broker and of one partition.
 * - `maxPrefetchRecords` (20,000) and `maxPrefetchBytes` (32 MiB): what waits to be processed, of
 *   all partitions together; past that nothing more is fetched.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumerOptions {
  readonly groupId: string
  readonly topics: ReadonlyArray<string>
  readonly groupProtocol?: GroupProtocolName | undefined
  readonly groupInstanceId?: string | undefined
  readonly isolation?: Isolation | undefined
  readonly startFrom?: "earliest" | "latest" | undefined
  readonly whenOutOfRange?: "fail" | "earliest" | "latest" | undefined
  readonly sessionTimeout?: Duration.Input | undefined
  readonly heartbeatInterval?: Duration.Input | undefined
  readonly rebalanceTimeout?: Duration.Input | undefined
  readonly requestTimeout?: Duration.Input | undefined
  readonly connectTimeout?: Duration.Input | undefined
  readonly fetchWait?: Duration.Input | undefined
  readonly maxFetchBytes?: number | undefined
  readonly maxPartitionFetchBytes?: number | undefined
  readonly maxPrefetchRecords?: number | undefined
  readonly maxPrefetchBytes?: number | undefined
}

/**
 * The settings after defaults and checks; see {@link ConsumerOptions} for each.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly groupId: string
  readonly topics: ReadonlyArray<string>
  readonly groupProtocol: GroupProtocolName
  readonly groupInstanceId: string | null
  readonly isolation: Isolation
  readonly startFrom: "earliest" | "latest"
  readonly whenOutOfRange: "fail" | "earliest" | "latest"
  readonly sessionTimeout: Duration.Duration
  readonly heartbeatInterval: Duration.Duration
  readonly rebalanceTimeout: Duration.Duration
  readonly requestTimeout: Duration.Duration
  readonly connectTimeout: Duration.Duration
  readonly fetchWait: Duration.Duration
  readonly maxFetchBytes: number
  readonly maxPartitionFetchBytes: number
  readonly maxPrefetchRecords: number
  readonly maxPrefetchBytes: number
}

/**
 * The defaults; a test checks the inequalities between them.
 *
 * @category models
 * @since 0.1.0
 */
export const defaults = {
  groupProtocol: "classic",
  isolation: "read_committed",
  startFrom: "earliest",
  whenOutOfRange: "fail",
  sessionTimeout: Duration.seconds(45),
  heartbeatInterval: Duration.seconds(3),
  rebalanceTimeout: Duration.seconds(60),
  requestTimeout: Duration.seconds(3),
  connectTimeout: Duration.seconds(10),
  fetchWait: Duration.millis(500),
  maxFetchBytes: 8_388_608,
  maxPartitionFetchBytes: 1_048_576,
  maxPrefetchRecords: 20_000,
  maxPrefetchBytes: 33_554_432
} as const

type TimeSetting =
  | "sessionTimeout"
  | "heartbeatInterval"
  | "rebalanceTimeout"
  | "requestTimeout"
  | "connectTimeout"
  | "fetchWait"

type CountSetting =
  | "maxFetchBytes"
  | "maxPartitionFetchBytes"
  | "maxPrefetchRecords"
  | "maxPrefetchBytes"

/**
 * Applies the defaults and checks the bounds.
 *
 * **Details**
 *
 * *Errors*: `Misconfigured` names the setting, its value and what is wrong with it; nothing is
 * sent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = (options: ConsumerOptions): Effect.Effect<Settings, KafkaError> =>
  Effect.gen(function*() {
    yield* checkName("groupId", options.groupId)
    if (options.groupInstanceId !== undefined) {
      yield* checkName("groupInstanceId", options.groupInstanceId)
    }
    const topics = yield* checkTopics(options.topics)
    const time = (setting: TimeSetting) => checkTime(setting, options[setting] ?? defaults[setting])
    const count = (setting: CountSetting) =>
      checkCount(setting, options[setting] ?? defaults[setting])
    const sessionTimeout = yield* time("sessionTimeout")
    const heartbeatInterval = yield* time("heartbeatInterval")
    const groupProtocol = yield* checkProtocol(options)
    if (
      groupProtocol === "classic" &&
      Duration.toMillis(heartbeatInterval) * 3 > Duration.toMillis(sessionTimeout)
    ) {
      return yield* misconfigured(
        "heartbeatInterval",
        Duration.format(heartbeatInterval),
        `must be at most a third of sessionTimeout (${Duration.format(sessionTimeout)})`
      )
    }
    return {
      groupId: options.groupId,
      topics,
      groupProtocol,
      groupInstanceId: options.groupInstanceId ?? null,
      isolation: options.isolation ?? defaults.isolation,
      startFrom: options.startFrom ?? defaults.startFrom,
      whenOutOfRange: options.whenOutOfRange ?? defaults.whenOutOfRange,
      sessionTimeout,
      heartbeatInterval,
      rebalanceTimeout: yield* time("rebalanceTimeout"),
      requestTimeout: yield* time("requestTimeout"),
      connectTimeout: yield* time("connectTimeout"),
      fetchWait: yield* time("fetchWait"),
      maxFetchBytes: yield* count("maxFetchBytes"),
      maxPartitionFetchBytes: yield* count("maxPartitionFetchBytes"),
      maxPrefetchRecords: yield* count("maxPrefetchRecords"),
      maxPrefetchBytes: yield* count("maxPrefetchBytes")
    }
  })

/**
 * Fails with a setting, its value, and what is wrong with it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const misconfigured = (
  setting: string,
  value: string,
  problem: string
): Effect.Effect<never, KafkaError> =>
  Effect.fail(
    new KafkaError({ operation: "consume", reason: new Misconfigured({ setting, value, problem }) })
  )

const maxNameLength = 249

const checkName = (setting: "groupId" | "groupInstanceId", name: string) =>
  typeof name !== "string"
    ? misconfigured(setting, typeof name, "must be text")
    : name.length === 0 || name.length > maxNameLength || /\p{Cs}|\0/u.test(name)
    ? misconfigured(
      setting,
      JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}…` : name),
      `must be text of 1 to ${maxNameLength} characters without NUL (this one has ${name.length})`
    )
    : Effect.void

const checkProtocol = ({
  groupProtocol = defaults.groupProtocol,
  heartbeatInterval
}: ConsumerOptions): Effect.Effect<GroupProtocolName, KafkaError> =>
  groupProtocol !== "classic" && groupProtocol !== "consumer"
    ? misconfigured("groupProtocol", JSON.stringify(groupProtocol), 'is "classic" or "consumer"')
    : groupProtocol === "consumer" && heartbeatInterval !== undefined
    ? misconfigured(
      "heartbeatInterval",
      String(heartbeatInterval),
      'is the broker\'s with groupProtocol "consumer" (group.consumer.heartbeat.interval.ms); ' +
        "leave it out"
    )
    : Effect.succeed(groupProtocol)

const checkTopics = (topics: ReadonlyArray<string>) => {
  if (!Array.isArray(topics) || topics.length === 0) {
    return misconfigured("topics", "[]", "must name at least one topic")
  }
  const unnamed = topics.find((topic) => typeof topic !== "string" || topic.length === 0)
  return unnamed === undefined
    ? Effect.succeed([...new Set(topics)])
    : misconfigured("topics", JSON.stringify(unnamed), "is not the name of a topic")
}

const checkTime = (setting: string, value: Duration.Input) =>
  Result.match(BoundedDuration.check(value), {
    onSuccess: Effect.succeed,
    onFailure: (problem) => misconfigured(setting, String(value), problem)
  })

const checkCount = (setting: string, value: number) =>
  Number.isSafeInteger(value) && value >= 1
    ? Effect.succeed(value)
    : misconfigured(setting, String(value), "must be a whole number of at least 1")
