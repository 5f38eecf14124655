/**
 * A client as a program uses it, so that one program can be run on several: this library over a
 * driver, or a raw client in the way that its own documentation shows.
 *
 * @since 0.1.0
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as KafkaError from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as StrangersOffsets from "./internal/strangersOffsets.ts"

/**
 * What a client has told its program about a failure, as text.
 *
 * @category errors
 * @since 0.1.0
 */
export class Problem extends Data.TaggedError("Problem")<{ readonly text: string }> {
  override get message(): string {
    return this.text
  }
}

/**
 * What a program knows of one transaction when the client has handed it back.
 *
 * **Details**
 *
 * *Shape*
 * - `Committed`, `Aborted`: the client has said so.
 * - `Unknown`: the client failed and did not say which of the two it was.
 * - `NotBegun`: it could not even be begun.
 *
 * @category models
 * @since 0.1.0
 */
export type Told = Data.TaggedEnum<{
  Committed: {}
  Aborted: { readonly why: string }
  Unknown: { readonly why: string }
  NotBegun: { readonly why: string }
}>

/**
 * Constructors and matchers of {@link Told}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const Told = Data.taggedEnum<Told>()

/**
 * Who a program is to the brokers.
 *
 * @category models
 * @since 0.1.0
 */
export interface User {
  readonly name: string
  readonly password: string
}

/**
 * Sends values to partition 0 of a topic within a transaction, and answers with the offsets at
 * which they are said to be.
 *
 * @category models
 * @since 0.1.0
 */
export type Send = (
  topic: string,
  values: ReadonlyArray<string>
) => Effect.Effect<ReadonlyArray<bigint>, Problem>

/**
 * A producer with one transactional id.
 *
 * **Details**
 *
 * *Shape*: `transaction` begins, runs the body, commits when it succeeds and aborts when it fails
 * or is interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Producer {
  readonly transaction: (
    body: (send: Send) => Effect.Effect<unknown, Problem>
  ) => Effect.Effect<Told>
}

/**
 * A client.
 *
 * **Details**
 *
 * *Shape*
 * - `producer`: connects one to the brokers; the end of its scope is its orderly end.
 * - `copied`: adds the offsets of the first record of partitions 0 and 1 to one transaction, both
 *   at once, and commits it. `null` where the client cannot do that outside of a consumer group.
 *
 * @category models
 * @since 0.1.0
 */
export interface Contender {
  readonly name: string
  readonly producer: (options: Connecting) => Effect.Effect<Producer, Problem, Scope.Scope>
  readonly copied:
    | ((options: Copying) => Effect.Effect<Told, Problem, Scope.Scope>)
    | null
}

/**
 * Where and as whom a client connects.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connecting {
  readonly brokers: ReadonlyArray<string>
  readonly transactionalId: string
  readonly user?: User | undefined
}

/**
 * Whose offsets are committed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Copying extends Connecting {
  readonly topic: string
  readonly groupId: string
}

/**
 * A driver, over the given brokers.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverFor = (
  brokers: ReadonlyArray<string>,
  user: User | undefined
) => Layer.Layer<KafkaDriver, { readonly message: string }>

/**
 * The times that every contender works with: short, so that what is lost is missed soon.
 *
 * @category models
 * @since 0.1.0
 */
export const times = {
  requestTimeoutMillis: 500,
  retryPauseMillis: 50,
  transactionTimeoutMillis: 15_000
} as const

/**
 * What a raw client's program knows of its transaction: after a failure it aborts, and only an
 * abort that succeeds says what became of it.
 *
 * @category operations
 * @since 0.1.0
 */
export const ended = (
  exit: Exit.Exit<unknown, Problem>,
  abort: Effect.Effect<unknown, Problem>
): Effect.Effect<Told> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(Told.Committed())
  const why = exit.cause.reasons.map((reason) =>
    reason._tag === "Fail" ? reason.error.text : reason._tag
  ).join(", ")
  return Effect.match(abort, {
    onFailure: () => Told.Unknown({ why }),
    onSuccess: () => Told.Aborted({ why })
  })
}

/**
 * This library over a driver.
 *
 * @category constructors
 * @since 0.1.0
 */
export const library = (driver: DriverFor): Contender => ({
  name: "kafka-once",
  producer: (options) => Effect.map(connected(driver, options), producerOf),
  copied: (options) =>
    Effect.flatMap(connected(driver, options), (producer) => {
      const { groupId, topic } = options
      const add = (partition: number) =>
        Effect.flatMap(
          StrangersOffsets.of(groupId, { topic, partition }, 0n),
          Transaction.sendOffsets
        )
      return Effect.all([add(0), add(1)], { concurrency: 2 }).pipe(
        producer.withTransaction(),
        Effect.exit,
        Effect.map(toldOf)
      )
    })
})

const connected = (driver: DriverFor, { brokers, transactionalId, user }: Connecting) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(driver(brokers, user))
    return yield* Effect.provide(
      TransactionalProducer.make({
        transactionalId,
        transactionTimeout: times.transactionTimeoutMillis,
        requestTimeout: times.requestTimeoutMillis,
        deliveryTimeout: "2 seconds",
        drainTimeout: "2 seconds",
        commitTimeout: "2 seconds",
        abortTimeout: "2 seconds",
        initializeTimeout: "3 seconds"
      }),
      context
    )
  }).pipe(Effect.mapError(problemOf))

const producerOf = (
  producer: TransactionalProducer.TransactionalProducer["Service"]
): Producer => ({
  transaction: (body) =>
    Effect.gen(function*() {
      const transaction = yield* Transaction.Transaction
      return yield* body((topic, values) =>
        transaction.send(values.map((value) => ({ topic, partition: 0, value }))).pipe(
          Effect.map((records) => records.map(({ offset }) => offset)),
          Effect.mapError(problemOf)
        )
      )
    }).pipe(producer.withTransaction(), Effect.exit, Effect.map(toldOf))
})

const toldOf = (exit: Exit.Exit<unknown, KafkaError.KafkaError | Problem>): Told => {
  if (Exit.isSuccess(exit)) return Told.Committed()
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  if (error === null) return Told.Aborted({ why: "the program's own end" })
  const why = problemOf(error).text
  if (error._tag === "Problem") return Told.Aborted({ why })
  if (error.operation === "begin") return Told.NotBegun({ why })
  return error.reason._tag === "CommitOutcomeUnknown"
    ? Told.Unknown({ why })
    : Told.Aborted({ why })
}

const problemOf = (error: { readonly message: string }): Problem =>
  error instanceof KafkaError.KafkaError
    ? new Problem({ text: `${error.reason._tag}: ${error.message}` })
    : error instanceof Problem
    ? error
    : new Problem({ text: error.message })
