/**
 * The three transactions of a case: one before the fault, the one that meets it, and the next.
 *
 * @since 0.1.0
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { isKafkaError, type KafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import type { TransactionOutcome } from "@kafka-once/core/TransactionOutcome"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as StrangersOffsets from "../internal/strangersOffsets.ts"
import type { Work } from "./Case.ts"
import type { Stage } from "./Stage.ts"

/**
 * One run of a body, and how its transaction ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly error: KafkaError | "the body's own" | "no typed failure" | null
  readonly outcome: TransactionOutcome
}

/**
 * The runs of one transaction, and why its first begin was refused, where one was.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transacted {
  readonly runs: ReadonlyArray<Run>
  readonly refused: Run["error"]
}

/**
 * A producer in a scope of its own, or why it could not be made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opened {
  readonly producer: TransactionalProducer.TransactionalProducer["Service"] | null
  readonly error: KafkaError | null
  readonly close: Effect.Effect<void>
}

/**
 * Makes a producer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fnUntraced(
  function*({ options }: Stage): Effect.fn.Return<Opened, never, KafkaDriver> {
    const scope = yield* Scope.make()
    const made = yield* TransactionalProducer.make(options).pipe(Scope.provide(scope), Effect.exit)
    return {
      producer: Exit.isSuccess(made) ? made.value : null,
      error: Option.getOrNull(Exit.findErrorOption(made)),
      close: Scope.close(scope, Exit.void)
    }
  }
)

/**
 * What is done at the marked places of a transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hooks {
  /** At the start of each run, with its number from 1. */
  readonly onRun?: (run: number) => Effect.Effect<void>
  /** Between the first and the second thing that the body does. */
  readonly between?: Effect.Effect<void>
  /** After each run has settled. */
  readonly onSettled?: Effect.Effect<void>
}

/** A fault can strike twice. */
const runsMost = 3

// Where no broker was heard for a while, begins fail at once until one is found again.
const schedule = Schedule.spaced("20 millis").pipe(
  Schedule.upTo({ times: 150, duration: "3 seconds" })
)

/**
 * Runs a transaction, and again as often as the library allows it.
 *
 * @category operations
 * @since 0.1.0
 */
export const transact = Effect.fnUntraced(function*(
  stage: Stage,
  producer: TransactionalProducer.TransactionalProducer["Service"],
  name: string,
  work: Work,
  { between = Effect.void, onRun = () => Effect.void, onSettled = Effect.void }: Hooks = {}
): Effect.fn.Return<Transacted> {
  const runs: Array<Run> = []
  let refused: Run["error"] = null
  let count = 0
  yield* Effect.suspend(() => {
    const begun: Array<Transaction.Transaction["Service"]> = []
    return Effect.scoped(Effect.gen(function*() {
      yield* onRun(++count)
      const transaction = yield* producer.begin()
      begun.push(transaction)
      yield* body(stage, transaction, name, work, between)
    })).pipe(
      Effect.onExit((exit) =>
        Effect.gen(function*() {
          const [transaction] = begun
          if (transaction === undefined) refused ??= errorOf(exit)
          else runs.push({ error: errorOf(exit), outcome: yield* transaction.outcome })
          yield* onSettled
        })
      )
    )
  }).pipe(
    Transaction.retry(Schedule.while(schedule, () => Effect.succeed(runs.length < runsMost))),
    Effect.exit
  )
  return { runs, refused }
})

const errorOf = (exit: Exit.Exit<void, KafkaError | "the body's own">): Run["error"] =>
  Exit.isSuccess(exit)
    ? null
    : Option.getOrElse(Exit.findErrorOption(exit), () => "no typed failure" as const)

const body = (
  { groups, otherTopic, topic }: Stage,
  transaction: Transaction.Transaction["Service"],
  name: string,
  work: Work,
  between: Effect.Effect<void>
): Effect.Effect<void, KafkaError | "the body's own"> =>
  Effect.gen(function*() {
    const sendOffsets = (groupId: string) =>
      Effect.flatMap(
        StrangersOffsets.of(groupId, { topic, partition: 0 }, lastProcessed),
        transaction.sendOffsets
      )
    if (work === "offsets alone") return yield* sendOffsets(groups[0])
    yield* transaction.send([{ topic, partition: 0, value: `${name}-a` }])
    yield* between
    if (work === "offsets") {
      for (const group of groups) yield* sendOffsets(group)
      return
    }
    const second = work === "new topic"
      ? { topic: otherTopic, partition: 0 }
      : { topic, partition: 1 }
    yield* transaction.send([{ ...second, value: `${name}-b` }])
    if (work === "abort") return yield* Effect.fail("the body's own" as const)
  })

/**
 * The values that a transaction leaves where it commits.
 *
 * @category accessors
 * @since 0.1.0
 */
export const valuesOf = (name: string, work: Work): ReadonlyArray<string> => {
  switch (work) {
    case "offsets alone":
      return []
    case "offsets":
      return [`${name}-a`]
    default:
      return [`${name}-a`, `${name}-b`]
  }
}

/**
 * The groups whose offset a transaction leaves where it commits.
 *
 * @category accessors
 * @since 0.1.0
 */
export const groupsOf = ({ groups }: Stage, work: Work): ReadonlyArray<string> => {
  switch (work) {
    case "offsets alone":
      return [groups[0]]
    case "offsets":
      return groups
    default:
      return []
  }
}

const lastProcessed = 41n

/**
 * An error in one word: the tag of its reason.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reasonOf = (error: Run["error"]): string | null =>
  isKafkaError(error) ? error.reason._tag : error
