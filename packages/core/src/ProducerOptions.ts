/**
 * The settings of a transactional producer, their defaults and their bounds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as BoundedDuration from "./internal/boundedDuration.ts"
import { KafkaError, Misconfigured } from "./KafkaError.ts"

/**
 * The settings of a transactional producer.
 *
 * **Details**
 *
 * *Shape and units*
 * - `transactionalId`: 1 to 249 characters, the same after a restart; the namespace of fencing.
 * - `lanes` (1): how many transactional ids the producer uses in turn, 1 to 8; see below.
 * - `transactionTimeout` (15 s): after which the broker aborts an open transaction by itself. Below
 *   the session timeout of consumers (45 s), so that a dead member's transaction ends before its
 *   partitions move.
 * - `requestTimeout` (3 s): how long one request may go without an answer.
 * - `initializeTimeout` (10 s): the first connection and InitProducerId, and every later one.
 * - `deliveryTimeout` (6.5 s): one `send`, with its retries.
 * - `drainTimeout` (5 s), `commitTimeout` (8 s), `abortTimeout` (5 s), `resolveTimeout` (10 s): the
 *   steps of a release, which takes at most 25 s together.
 * - `maxWaiting` (1,000 callers) and `maxWaitingTime` (30 s): the queue for the one open
 *   transaction.
 * - `maxRequestRecords` (10,000) and `maxRequestBytes` (900,000): one Produce request's batch for
 *   one partition; the broker's default limit is 1,048,588 bytes.
 * - `maxPendingBytes` (33,554,432): records that wait to be sent; past that `send` waits.
 * - `traceHeaders` (false): adds the W3C `traceparent` of the send's span to each record's headers.
 *
 * The body of a transaction may take `transactionTimeout` less `commitTimeout`.
 *
 * *Lanes*. When a commit is answered it is decided, and the broker still writes its markers. With
 * one transactional id the next transaction waits for them; with two it begins in the other lane
 * meanwhile. It pays for short transactions one after the other, and does nothing for long ones.
 * - The ids are `transactionalId`, `<transactionalId>-lane-1` and so on, each with a session of its
 *   own. Events, errors, metrics, spans and `Transaction.transactionalId` name the lane's own.
 * - One transaction is open at a time, whatever the number of lanes, and the next begins when the
 *   last has ended. In each partition records are in the order of the transactions, for every
 *   reader; one under `read_committed` never sees a transaction there before it has seen the last.
 *   Between partitions there is no order any more: the markers of a transaction may be late in one
 *   partition, while the next transaction is seen in another. With one lane it never is.
 * - A start takes over all lanes, one after the other, and ends what each has left open. From then
 *   on no older instance commits anything; what it begins in any lane ends all of its lanes with
 *   `ProducerFenced`. Fencing one lane is enough, as `Transaction.resolve` elsewhere may do.
 * - More lanes may be rolled out like any change, from one lane too. Before you go back to fewer,
 *   stop the old instance: the lanes that the new one does not have are not fenced. What was left
 *   open there ends by `transactionTimeout`.
 * - A transaction in lanes takes no offsets: `sendOffsets` and a `Cursor` fail `Misconfigured`, and
 *   `ExactlyOnce` has `parallelTransactions` in their place.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducerOptions {
  readonly transactionalId: string
  readonly lanes?: number | undefined
  readonly transactionTimeout?: Duration.Input | undefined
  readonly requestTimeout?: Duration.Input | undefined
  readonly initializeTimeout?: Duration.Input | undefined
  readonly deliveryTimeout?: Duration.Input | undefined
  readonly drainTimeout?: Duration.Input | undefined
  readonly commitTimeout?: Duration.Input | undefined
  readonly abortTimeout?: Duration.Input | undefined
  readonly resolveTimeout?: Duration.Input | undefined
  readonly maxWaiting?: number | undefined
  readonly maxWaitingTime?: Duration.Input | undefined
  readonly maxRequestRecords?: number | undefined
  readonly maxRequestBytes?: number | undefined
  readonly maxPendingBytes?: number | undefined
  readonly traceHeaders?: boolean | undefined
}

/**
 * The settings after defaults and checks; see {@link ProducerOptions} for each.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly transactionalId: string
  readonly lanes: number
  readonly transactionTimeout: Duration.Duration
  readonly requestTimeout: Duration.Duration
  readonly initializeTimeout: Duration.Duration
  readonly deliveryTimeout: Duration.Duration
  readonly drainTimeout: Duration.Duration
  readonly commitTimeout: Duration.Duration
  readonly abortTimeout: Duration.Duration
  readonly resolveTimeout: Duration.Duration
  readonly bodyTimeout: Duration.Duration
  readonly maxWaiting: number
  readonly maxWaitingTime: Duration.Duration
  readonly maxRequestRecords: number
  readonly maxRequestBytes: number
  readonly maxPendingBytes: number
  readonly traceHeaders: boolean
}

/**
 * The defaults; a test checks the inequalities between them.
 *
 * @category models
 * @since 0.1.0
 */
export const defaults = {
  lanes: 1,
  transactionTimeout: Duration.seconds(15),
  requestTimeout: Duration.seconds(3),
  initializeTimeout: Duration.seconds(10),
  deliveryTimeout: Duration.millis(6_500),
  drainTimeout: Duration.seconds(5),
  commitTimeout: Duration.seconds(8),
  abortTimeout: Duration.seconds(5),
  resolveTimeout: Duration.seconds(10),
  maxWaiting: 1_000,
  maxWaitingTime: Duration.seconds(30),
  maxRequestRecords: 10_000,
  maxRequestBytes: 900_000,
  maxPendingBytes: 33_554_432,
  traceHeaders: false
} as const

type TimeSetting =
  | "transactionTimeout"
  | "requestTimeout"
  | "initializeTimeout"
  | "deliveryTimeout"
  | "drainTimeout"
  | "commitTimeout"
  | "abortTimeout"
  | "resolveTimeout"
  | "maxWaitingTime"

type CountSetting = "maxWaiting" | "maxRequestRecords" | "maxRequestBytes" | "maxPendingBytes"

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
export const resolve = (options: ProducerOptions): Effect.Effect<Settings, KafkaError> =>
  Effect.gen(function*() {
    const lanes = yield* checkLanes(options.lanes ?? defaults.lanes)
    yield* checkTransactionalId(options.transactionalId, lanes)
    const time = (setting: TimeSetting) => checkTime(setting, options[setting] ?? defaults[setting])
    const count = (setting: CountSetting) =>
      checkCount(setting, options[setting] ?? defaults[setting])
    const transactionTimeout = yield* time("transactionTimeout")
    const requestTimeout = yield* time("requestTimeout")
    const commitTimeout = yield* time("commitTimeout")
    if (!Duration.isLessThan(commitTimeout, transactionTimeout)) {
      return yield* misconfigured(
        "commitTimeout",
        Duration.format(commitTimeout),
        `must be below transactionTimeout (${Duration.format(transactionTimeout)}), so that the ` +
          "body has time left"
      )
    }
    if (Duration.isGreaterThan(requestTimeout, commitTimeout)) {
      return yield* misconfigured(
        "requestTimeout",
        Duration.format(requestTimeout),
        `must not be above commitTimeout (${Duration.format(commitTimeout)})`
      )
    }
    return {
      transactionalId: options.transactionalId,
      lanes,
      transactionTimeout,
      requestTimeout,
      initializeTimeout: yield* time("initializeTimeout"),
      deliveryTimeout: yield* time("deliveryTimeout"),
      drainTimeout: yield* time("drainTimeout"),
      commitTimeout,
      abortTimeout: yield* time("abortTimeout"),
      resolveTimeout: yield* time("resolveTimeout"),
      bodyTimeout: Duration.subtract(transactionTimeout, commitTimeout),
      maxWaiting: yield* count("maxWaiting"),
      maxWaitingTime: yield* time("maxWaitingTime"),
      maxRequestRecords: yield* count("maxRequestRecords"),
      maxRequestBytes: yield* count("maxRequestBytes"),
      maxPendingBytes: yield* count("maxPendingBytes"),
      traceHeaders: options.traceHeaders ?? defaults.traceHeaders
    }
  })

const misconfigured = (setting: string, value: string, problem: string) =>
  Effect.fail(
    new KafkaError({
      operation: "initialize",
      reason: new Misconfigured({ setting, value, problem })
    })
  )

// Kafka itself takes up to 32,767 bytes; past 249 characters the id cannot name a group or a topic
// any more, which is what operators expect to be able to do with it.
const maxTransactionalIdLength = 249

const laneSuffixLength = "-lane-1".length

// A lane costs a session; past three or four of them there is nothing left to hide.
const maxLanes = 8

const checkLanes = (value: number) =>
  Number.isSafeInteger(value) && value >= 1 && value <= maxLanes
    ? Effect.succeed(value)
    : misconfigured("lanes", String(value), `must be a whole number from 1 to ${maxLanes}`)

const checkTransactionalId = (id: string, lanes: number) =>
  typeof id !== "string"
    ? misconfigured("transactionalId", typeof id, "must be text")
    : id.length === 0 || id.length > maxTransactionalIdLength || /\p{Cs}/u.test(id) ||
        id.includes("\0")
    ? misconfigured(
      "transactionalId",
      JSON.stringify(id.length > 40 ? `${id.slice(0, 40)}…` : id),
      `must be text of 1 to ${maxTransactionalIdLength} characters without NUL (this one has ` +
        `${id.length})`
    )
    : lanes > 1 && id.length + laneSuffixLength > maxTransactionalIdLength
    ? misconfigured(
      "transactionalId",
      JSON.stringify(`${id.slice(0, 40)}…`),
      `must be at most ${
        maxTransactionalIdLength - laneSuffixLength
      } characters long with lanes, ` +
        `which add to it (this one has ${id.length})`
    )
    : Effect.void

const checkTime = (setting: TimeSetting, value: Duration.Input) =>
  Result.match(BoundedDuration.check(value), {
    onSuccess: Effect.succeed,
    onFailure: (problem) => misconfigured(setting, String(value), problem)
  })

const checkCount = (setting: CountSetting, value: number) =>
  Number.isSafeInteger(value) && value >= 1
    ? Effect.succeed(value)
    : misconfigured(setting, String(value), "must be a whole number of at least 1")
