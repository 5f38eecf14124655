/**
 * The settings of an exactly-once pipeline, their defaults and their bounds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as ConsumerOptions from "./ConsumerOptions.ts"
import type { KafkaError } from "./KafkaError.ts"
import * as ProducerOptions from "./ProducerOptions.ts"
import type * as Topic from "./Topic.ts"
import type { TopicPartition } from "./TopicPartition.ts"
import type { Transaction } from "./Transaction.ts"

/**
 * Decoded records of one partition, in order, at least one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batch<K, V> extends TopicPartition {
  readonly records: ReadonlyArray<Topic.Decoded<K, V>>
}

/**
 * The settings of an exactly-once pipeline.
 *
 * **Details**
 *
 * *Shape and units*
 * - `groupId`: 1 to 249 characters; processes with the same group share the partitions of `input`.
 * - `input`: the topics to read. A topic of the input is never an output of the same pipeline.
 * - `process`: what to do with records of one partition. What it sends with `Transaction.send` is
 *   committed with their offsets, or not at all. It may be called again with the same records, and
 *   runs for several partitions at a time.
 * - `outputs`: topics that `process` sends to; named here, they are known to exist before anything
 *   is read.
 * - `transactionalIdPrefix` (`"kafka-once"`): a namespace of transactional ids of its own; an ACL
 *   can be given on it. Without group fencing the ids are `{prefix}.{group}.{topic}.{partition}`,
 *   with it `{prefix}.{group}.{instanceId}.{n}`.
 * - `instanceId`: names this process among those of the group, the same after a restart; random
 *   when left out, and then what a killed process has left open ends by `transactionTimeout`.
 * - `batch`: at most so many `records` (1,000) and about so many `bytes` (4 MiB) in a transaction,
 *   and how long after the first (`within`, 10 ms) it goes without being full.
 * - `retry` (3 times from 100 ms on): when to give the same records to `process` again after it has
 *   failed.
 * - `deadLetterTopic`: where a record goes that keeps failing or does not decode, in the same
 *   transaction as its offset. Without it the pipeline fails with what `process` failed with.
 * - `parallelTransactions` (1): with group fencing, how many transactions of the process are open
 *   at a time; without it each partition has its own.
 * - `drainTimeout` (10 s): how long what is open may go on when the pipeline is interrupted, before
 *   it is aborted. `abortNow` is run when that begins, and cuts it short when it completes: where
 *   it waits for a signal, the second one aborts at once.
 * - `consumer`, `producer`: settings of these; their defaults fit together. `fetchWait` is 100 ms
 *   here, because what is read again after a failure waits for the fetch that is on its way.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExactlyOnceOptions<K, V, E, R> {
  readonly groupId: string
  readonly input: Topic.Topic<K, V> | ReadonlyArray<Topic.Topic<K, V>>
  readonly process: (batch: Batch<K, V>) => Effect.Effect<unknown, E, R>
  readonly outputs?: ReadonlyArray<{ readonly name: string }> | undefined
  readonly transactionalIdPrefix?: string | undefined
  readonly instanceId?: string | undefined
  readonly batch?: {
    readonly records?: number | undefined
    readonly bytes?: number | undefined
    readonly within?: Duration.Input | undefined
  } | undefined
  readonly retry?: Schedule.Schedule<unknown, E> | undefined
  readonly deadLetterTopic?: string | undefined
  readonly parallelTransactions?: number | undefined
  readonly drainTimeout?: Duration.Input | undefined
  readonly abortNow?: Effect.Effect<unknown> | undefined
  readonly consumer?:
    | Omit<Partial<ConsumerOptions.ConsumerOptions>, "groupId" | "topics">
    | undefined
  readonly producer?: PipelineProducerOptions | undefined
}

/**
 * The settings of a pipeline's producers: all but the ids, which are the pipeline's, and `lanes`,
 * because a transaction in lanes takes no offsets.
 *
 * @category models
 * @since 0.1.0
 */
export type PipelineProducerOptions = Omit<
  Partial<ProducerOptions.ProducerOptions>,
  "transactionalId" | "lanes"
>

/**
 * The settings after defaults and checks; see {@link ExactlyOnceOptions} for each.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings<K, V, E, R> {
  readonly groupId: string
  readonly input: ReadonlyMap<string, Topic.Topic<K, V>>
  readonly process: (batch: Batch<K, V>) => Effect.Effect<unknown, E, R>
  readonly outputs: ReadonlyArray<string>
  readonly transactionalIdPrefix: string
  readonly instanceId: string | null
  readonly maxRecords: number
  readonly maxBytes: number
  readonly within: Duration.Duration
  readonly retry: Schedule.Schedule<unknown, unknown>
  readonly deadLetterTopic: string | null
  readonly parallelTransactions: number
  readonly drainTimeout: Duration.Duration
  readonly abortNow: Effect.Effect<unknown>
  readonly consumer: ConsumerOptions.ConsumerOptions
  readonly producer: PipelineProducerOptions
  /** How long the settling of a transaction may take. */
  readonly releaseLimit: Duration.Duration
}

/**
 * The defaults; a test checks the inequalities between them.
 *
 * @category models
 * @since 0.1.0
 */
export const defaults = {
  transactionalIdPrefix: "kafka-once",
  maxRecords: 1_000,
  maxBytes: 4_194_304,
  within: Duration.millis(10),
  parallelTransactions: 1,
  drainTimeout: Duration.seconds(10),
  // After an abort the fetch that is on its way has to be answered before the next one begins.
  fetchWait: Duration.millis(100),
  retry: Schedule.exponential("100 millis").pipe(Schedule.upTo({ times: 3 }))
} as const

const { misconfigured } = ConsumerOptions

// The longest number of a partition in a transactional id, and the separators.
const idSuffixLength = 12

/**
 * Applies the defaults and checks the bounds, those between consumer and producer included.
 *
 * **Details**
 *
 * *Errors*: `Misconfigured` names the setting, its value and what is wrong with it; nothing is
 * sent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = <K, V, E, R>(
  options: ExactlyOnceOptions<K, V, E, R>
): Effect.Effect<Settings<K, V, E, R>, KafkaError> =>
  Effect.gen(function*() {
    const topics = Array.isArray(options.input) ? options.input : [options.input]
    const input = new Map(topics.map((topic) => [topic.name, topic] as const))
    const consumer = {
      ...options.consumer,
      fetchWait: options.consumer?.fetchWait ?? defaults.fetchWait,
      groupId: options.groupId,
      topics: [...input.keys()]
    }
    const consumerSettings = yield* ConsumerOptions.resolve(consumer)
    const prefix = options.transactionalIdPrefix ?? defaults.transactionalIdPrefix
    const longest = Math.max(...[...input.keys()].map((name) => name.length), 36)
    const producerSettings = yield* ProducerOptions.resolve({
      ...options.producer,
      // Only its bounds are of interest here: the id is as long as the longest can be.
      transactionalId: `${prefix}.${options.groupId}.${"x".repeat(longest + idSuffixLength)}`
    })
    if (producerSettings.lanes > 1) {
      return yield* misconfigured(
        "producer.lanes",
        String(producerSettings.lanes),
        "must be 1: a pipeline has parallelTransactions"
      )
    }
    yield* checkTopics(options, input)
    yield* checkTimes(options, consumerSettings, producerSettings)
    return {
      groupId: options.groupId,
      input,
      process: options.process,
      outputs: (options.outputs ?? []).map(({ name }) => name),
      transactionalIdPrefix: prefix,
      instanceId: options.instanceId ?? null,
      maxRecords: yield* count("batch.records", options.batch?.records ?? defaults.maxRecords),
      maxBytes: yield* count("batch.bytes", options.batch?.bytes ?? defaults.maxBytes),
      within: Duration.fromInputUnsafe(options.batch?.within ?? defaults.within),
      // The schedule is only ever given what `process` has failed with.
      retry: (options.retry ?? defaults.retry) as Schedule.Schedule<unknown, unknown>,
      deadLetterTopic: options.deadLetterTopic ?? null,
      parallelTransactions: yield* count(
        "parallelTransactions",
        options.parallelTransactions ?? defaults.parallelTransactions
      ),
      drainTimeout: Duration.fromInputUnsafe(options.drainTimeout ?? defaults.drainTimeout),
      abortNow: options.abortNow ?? Effect.never,
      consumer,
      producer: options.producer ?? {},
      releaseLimit: releaseLimit(producerSettings)
    }
  })

const count = (setting: string, value: number): Effect.Effect<number, KafkaError> =>
  Number.isSafeInteger(value) && value >= 1
    ? Effect.succeed(value)
    : misconfigured(setting, String(value), "must be a whole number of at least 1")

const checkTopics = <K, V, E, R>(
  { deadLetterTopic, outputs }: ExactlyOnceOptions<K, V, E, R>,
  input: ReadonlyMap<string, unknown>
): Effect.Effect<void, KafkaError> => {
  const output = outputs?.find(({ name }) => input.has(name))?.name
  if (output !== undefined) {
    return misconfigured("outputs", JSON.stringify(output), "is also an input of the pipeline")
  }
  return deadLetterTopic !== undefined && input.has(deadLetterTopic)
    ? misconfigured(
      "deadLetterTopic",
      JSON.stringify(deadLetterTopic),
      "is also an input of the pipeline"
    )
    : Effect.void
}

/**
 * A batch has to be gathered and processed within a transaction's time, a dead member's transaction
 * has to end before its partitions move, and a rebalance has to wait for a transaction.
 */
const checkTimes = <K, V, E, R>(
  options: ExactlyOnceOptions<K, V, E, R>,
  consumer: ConsumerOptions.Settings,
  producer: ProducerOptions.Settings
): Effect.Effect<void, KafkaError> =>
  Effect.gen(function*() {
    const transactionTimeout = Duration.format(producer.transactionTimeout)
    const within = Duration.fromInput(options.batch?.within ?? defaults.within)
    if (within._tag === "None" || !Duration.isLessThan(within.value, producer.bodyTimeout)) {
      return yield* misconfigured(
        "batch.within",
        String(options.batch?.within),
        "must be a duration below transactionTimeout less commitTimeout " +
          `(${Duration.format(producer.bodyTimeout)})`
      )
    }
    const drain = Duration.fromInput(options.drainTimeout ?? defaults.drainTimeout)
    if (drain._tag === "None") {
      return yield* misconfigured(
        "drainTimeout",
        String(options.drainTimeout),
        "must be a duration"
      )
    }
    for (const setting of ["sessionTimeout", "rebalanceTimeout"] as const) {
      if (Duration.isGreaterThan(consumer[setting], producer.transactionTimeout)) continue
      return yield* misconfigured(
        setting,
        Duration.format(consumer[setting]),
        `must be above transactionTimeout (${transactionTimeout})`
      )
    }
  })

const releaseLimit = (producer: ProducerOptions.Settings): Duration.Duration =>
  [
    producer.drainTimeout,
    Duration.max(producer.commitTimeout, producer.abortTimeout),
    producer.resolveTimeout,
    Duration.seconds(2)
  ].reduce((sum, timeout) => Duration.sum(sum, timeout))

/**
 * What `process` asks for besides the transaction that the pipeline gives it.
 *
 * @category models
 * @since 0.1.0
 */
export type Requirements<R> = Exclude<R, Transaction>
