/**
 * A program that runs one transaction and tells on standard output which step it has come to, so
 * that it can be killed, frozen or asked to end just there.
 *
 * @since 0.1.0
 */
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { DriverAt } from "./ProducerBench.ts"

/**
 * The steps that a program tells of.
 *
 * **Details**
 *
 * - *Shape*: `initialised`: it has a producer. `begun`: its transaction has begun. `first acked`,
 *   `last acked`: a send of it was acknowledged. `committed`: its transaction is, as it was told,
 *   and its producer is still open. `again`: so is a second one, which only some programs run.
 *
 * @category models
 * @since 0.1.0
 */
export const Step = Schema.Literals([
  "initialised",
  "begun",
  "first acked",
  "last acked",
  "committed",
  "again"
])

/**
 * One of {@link Step}.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = typeof Step.Type

/**
 * What a program does.
 *
 * **Details**
 *
 * - *Shape*: `values` are sent one by one in one transaction, `again` in a second one, if any.
 *   At `waitAt` it waits for a line on its standard input.
 * - *Units and bounds*: `transactionTimeoutMillis`; the other deadlines are the producer's own, or
 *   with `hasty` so short that they fit into a transaction timeout of 3 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export const Plan = Schema.Struct({
  addresses: Schema.Array(Schema.String),
  topic: Schema.String,
  transactionalId: Schema.String,
  transactionTimeoutMillis: Schema.Int,
  hasty: Schema.Boolean,
  values: Schema.Array(Schema.String),
  again: Schema.Array(Schema.String),
  waitAt: Schema.NullOr(Step)
})

/**
 * One of {@link Plan}.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = typeof Plan.Type

const hastyTimeouts = {
  requestTimeout: "500 millis",
  deliveryTimeout: "1 second",
  drainTimeout: "1 second",
  commitTimeout: "1 second",
  abortTimeout: "1 second"
} as const

/**
 * The program, from the plan that is its first argument as JSON.
 *
 * **Details**
 *
 * Each line of its output is `@`, a step, and milliseconds since the start of its first
 * InitProducerId. `@SIGTERM` tells that the signal has come, `@failed` with a reason how it ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const run = (driverAt: DriverAt): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    const plan = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Plan))(process.argv[2])
    process.once("SIGTERM", () => tell("SIGTERM"))
    yield* transactions(plan).pipe(Effect.scoped, Effect.provide(driverAt(plan.addresses)))
  }).pipe(
    Effect.tapError((error) => Effect.sync(() => tell(`failed ${wordOf(error)}`)))
  )

const tell = (text: string): void => {
  process.stdout.write(`@${text}\n`)
}

/** The tag of a `KafkaError`'s reason, or whatever else it was. */
const wordOf = (error: unknown): string => {
  const reason = typeof error === "object" && error !== null && "reason" in error
    ? error.reason as { readonly _tag: string }
    : { _tag: String(error) }
  return reason._tag
}

const transactions = Effect.fnUntraced(function*(plan: Plan) {
  const from = yield* Clock.currentTimeMillis
  const reach = (step: Step) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      tell(`${step} ${now - from}`)
      return step === plan.waitAt ? line : Effect.void
    })
  const producer = yield* TransactionalProducer.make({
    transactionalId: plan.transactionalId,
    transactionTimeout: plan.transactionTimeoutMillis,
    ...(plan.hasty ? hastyTimeouts : {})
  })
  yield* reach("initialised")
  yield* producer.withTransaction()(Effect.gen(function*() {
    yield* reach("begun")
    for (const [index, value] of plan.values.entries()) {
      yield* Transaction.send([{ topic: plan.topic, value }])
      if (index === 0) yield* reach("first acked")
    }
    yield* reach("last acked")
  }))
  yield* reach("committed")
  if (plan.again.length === 0) return
  const again = Effect.forEach(
    plan.again,
    (value) => Transaction.send([{ topic: plan.topic, value }])
  )
  yield* producer.withTransaction()(again)
  yield* reach("again")
})

/** Waits for a line on standard input; once, for an input that stays open keeps a program alive. */
const line = Effect.callback<void>((resume) => {
  const { stdin } = process
  const go = () => {
    stdin.destroy()
    resume(Effect.void)
  }
  stdin.once("data", go)
  return Effect.sync(() => {
    stdin.off("data", go)
    stdin.destroy()
  })
})
