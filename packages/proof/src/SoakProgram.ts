/**
 * The program that a soak runs several of: a writer of transactions of all sizes over some
 * transactional ids, some of them aborted or interrupted on purpose; or a member of the pipeline
 * that copies what the writers commit. Everything is recorded.
 *
 * @since 0.1.0
 */
import * as Transaction from "@kafka-once/core/Transaction"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as HistoryRecorder from "./HistoryRecorder.ts"
import * as Random from "./internal/random.ts"
import * as PipelineHistory from "./PipelineHistory.ts"
import { memberOf, timeouts } from "./PipelineProgram.ts"
import type { DriverAt } from "./ProducerBench.ts"
import * as RecordedProducer from "./RecordedProducer.ts"
import * as Recorded from "./RecordedTransaction.ts"

/**
 * What a program does.
 *
 * **Details**
 *
 * *Shape*: `process` is its number in the history, and part of what its `seed` draws. A writer runs
 * `ids` producers, whose transactional ids begin with `prefix`. With `pipeline` it is a member of
 * that group in place of a writer, named `prefix` in it, and copies `topic` to `output`; the group
 * speaks `groupProtocol`.
 *
 * @category models
 * @since 0.1.0
 */
export const Plan = Schema.Struct({
  addresses: Schema.Array(Schema.String),
  driver: Schema.String,
  topic: Schema.String,
  partitions: Schema.Int,
  prefix: Schema.String,
  ids: Schema.Int,
  file: Schema.String,
  run: Schema.Int,
  process: Schema.Int,
  seed: Schema.Int,
  pipeline: Schema.NullOr(Schema.Struct({
    group: Schema.String,
    groupProtocol: Schema.Literals(["classic", "consumer"]),
    output: Schema.String
  }))
})

/**
 * One of {@link Plan}.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = typeof Plan.Type

/** What a program fails its own transaction with. */
class OnPurpose extends Data.TaggedError("OnPurpose")<{}> {}

const sizes = [1, 50, 200, 500] as const
const pauseAfterFailure = "50 millis"
const pauseAfterFence = "5 seconds"
const retry = Schedule.exponential("50 millis").pipe(Schedule.upTo({ times: 3 }))

/**
 * Runs until it is interrupted; then it ends every transaction, and asks again for what is unknown.
 * A pipeline also ends with what it has failed with, for whoever started it to start it again.
 *
 * **Details**
 *
 * The plan is the program's first argument, as JSON.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (
  drivers: Readonly<Record<string, DriverAt>>
): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    const plan = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Plan))(process.argv[2])
    const driver = drivers[plan.driver]
    if (driver === undefined) return yield* Effect.die(new Error(`No driver "${plan.driver}"`))
    if (plan.pipeline !== null) {
      return yield* Effect.provide(copier(plan, plan.pipeline), driver(plan.addresses))
    }
    const recorder = yield* HistoryRecorder.make(plan)
    yield* Effect.forEach(
      Array.from({ length: plan.ids }, (_, index) => index),
      (index) => writer(plan, recorder, index),
      { concurrency: "unbounded", discard: true }
    ).pipe(
      Effect.provide(
        Layer.provide(HistoryRecorder.sessions(recorder), driver(plan.addresses))
      )
    )
  }).pipe(
    Effect.scoped,
    // What the library warns of is what the soak does to it.
    Effect.provide(Logger.layer([]))
  )

const copier = (
  plan: Plan,
  { group, groupProtocol, output }: Exclude<Plan["pipeline"], null>
) =>
  PipelineHistory.make({
    ...plan,
    groupId: group,
    input: plan.topic,
    output,
    settings: { ...timeouts, consumer: memberOf(groupProtocol), instanceId: plan.prefix }
  }).pipe(Effect.flatMap(({ failed }) => failed))

const writer = (plan: Plan, recorder: HistoryRecorder.HistoryRecorder, index: number) =>
  Effect.gen(function*() {
    const random = Random.make(plan.seed * 1_000 + plan.process * 31 + index)
    const transactionalId = `${plan.prefix}-${index}`
    // A cluster that is down while the program starts is one of the faults.
    const producer = yield* RecordedProducer.make(recorder, { transactionalId }).pipe(
      Effect.retry({ schedule: Schedule.spaced("500 millis") })
    )
    for (;;) {
      const exit = yield* Effect.exit(transact(plan, producer, random, recorder))
      if (Exit.isFailure(exit)) {
        // Whoever has taken over may be frozen or ended by now; a supervisor would start it again.
        if (isFenced(exit)) return yield* Effect.sleep(pauseAfterFence)
        yield* Effect.sleep(pauseAfterFailure)
      }
    }
  }).pipe(Effect.scoped, Effect.forever)

const isFenced = (exit: Exit.Exit<unknown, unknown>): boolean => {
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  return typeof error === "object" && error !== null && "recovery" in error &&
    error.recovery === "restart"
}

const transact = (
  plan: Plan,
  producer: RecordedProducer.RecordedProducer,
  random: Random.Random,
  recorder: HistoryRecorder.HistoryRecorder
) =>
  Effect.suspend(() => {
    const count = random.pick(sizes)
    const way = random.next()
    const inBrackets = random.chance(0.7)
    let last: RecordedProducer.RecordedHandle | null = null
    const body = (handle: RecordedProducer.RecordedHandle) => {
      last = handle
      return Effect.andThen(
        sends(plan, random, count, handle),
        way < 0.1 ? Effect.fail(new OnPurpose()) : Effect.void
      )
    }
    const whole = inBrackets
      ? producer.withTransaction(count, body, random.chance(0.5) ? { retry } : {})
      : Effect.scoped(Effect.flatMap(producer.begin(count), body))
    const limited = way > 0.97 ? Effect.timeoutOption(whole, random.int(1, 40)) : whole
    return Effect.tapError(limited, (error) =>
      last !== null && "reason" in error && error.reason._tag === "CommitOutcomeUnknown"
        ? resolveLater(error, last.record, recorder)
        : Effect.void)
  })

/** In one call, in several after each other, or in several at once. */
const sends = (
  { partitions, topic }: Plan,
  random: Random.Random,
  count: number,
  { send }: RecordedProducer.RecordedHandle
) => {
  const records = Array.from({ length: count }, () => ({
    topic,
    partition: random.int(0, partitions - 1),
    bytes: random.int(32, 200)
  }))
  const parts = Math.min(count, random.int(1, 3))
  const size = Math.ceil(count / parts)
  return Effect.forEach(
    Array.from({ length: Math.ceil(count / size) }, (_, part) => part),
    (part) => send(records.slice(part * size, (part + 1) * size)),
    { concurrency: random.chance(0.3) ? "unbounded" : 1, discard: true }
  )
}

/** Asks until it is told, as a service with an outbox would. */
const resolveLater = (
  error: Parameters<typeof Transaction.resolve>[0],
  { number, recorder: { process } }: Recorded.RecordedTransaction,
  recorder: HistoryRecorder.HistoryRecorder
) =>
  Transaction.resolve(error).pipe(
    Effect.filterOrFail(({ _tag }) => _tag !== "Unknown"),
    Effect.retry({ schedule: Schedule.spaced("500 millis") }),
    Effect.map(({ _tag }) => Recorded.resolved(recorder, { process, number }, _tag)),
    // A program that is asked to end still wants to know.
    Effect.timeoutOption("60 seconds"),
    Effect.uninterruptible
  )
