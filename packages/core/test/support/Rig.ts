/**
 * A producer over a driver double, and ways to let virtual time pass.
 */
import { assert } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import { isKafkaError, type KafkaError, type Reason } from "@kafka-once/core/KafkaError"
import type { ProducerEvent } from "@kafka-once/core/ProducerEvent"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import type { ProducerRecord } from "@kafka-once/core/ProducerRecord"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./DriverDouble.ts"

export type Producer = TransactionalProducer.TransactionalProducer["Service"]
export type Open = Transaction.Transaction["Service"]

export interface Rig {
  readonly double: DriverDouble.DriverDouble
  readonly producer: Producer
  readonly events: Array<ProducerEvent>
}

/** A producer named "orders-0" over a new double, which the test's scope closes and checks. */
export const make = (
  options: DriverDouble.Options & { readonly producer?: Partial<ProducerOptions> } = {}
) =>
  Effect.gen(function*() {
    const double = yield* DriverDouble.make(options)
    const producer = yield* makeProducer(double, options.producer)
    const events: Array<ProducerEvent> = []
    yield* Effect.forkScoped(
      Stream.runForEach(producer.events, (event) => Effect.sync(() => events.push(event))),
      { startImmediately: true }
    )
    return { double, producer, events }
  })

export const makeProducer = (
  double: DriverDouble.DriverDouble,
  options: Partial<ProducerOptions> = {}
) =>
  Effect.provideService(
    TransactionalProducer.make({ transactionalId: "orders-0", ...options }),
    KafkaDriver,
    double.driver
  )

/** One record for partition 0 of "orders". */
export const record = (value: string, partition = 0): ProducerRecord => ({
  topic: "orders",
  partition,
  value
})

/** The two forms of one transaction, behind one shape. */
export type Form = <A, E>(
  producer: Producer,
  body: (transaction: Open) => Effect.Effect<A, E>,
  options?: { readonly commitWhen?: (exit: Exit.Exit<unknown, unknown>) => boolean }
) => Effect.Effect<A, E | KafkaError>

export const scopeForm: Form = (producer, body, options) =>
  Effect.scoped(Effect.flatMap(producer.begin(options), body))

export const bracketForm: Form = (producer, body, options = {}) =>
  producer.withTransaction(Effect.flatMap(Transaction.Transaction, body), options)

export const forms: ReadonlyArray<readonly [name: string, form: Form]> = [
  ["scope form", scopeForm],
  ["bracket form", bracketForm]
]

export interface Timed<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly millis: number
}

/** Runs an effect while virtual time passes, and says how it ended and how long it took. */
export const timed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  limitMillis = 200_000
): Effect.Effect<Timed<A, E>, never, R> =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(
      Effect.exit(self).pipe(Effect.zip(Clock.currentTimeMillis)),
      { startImmediately: true }
    )
    // Until it waits for the clock: what it does before takes no virtual time.
    for (let turn = 0; turn < 200 && fiber.pollUnsafe() === undefined; turn++) {
      yield* Effect.yieldNow
    }
    yield* TestClock.adjust(limitMillis)
    const done = fiber.pollUnsafe()
    if (done === undefined) throw new Error(`it still hangs after ${limitMillis} ms`)
    const [exit, endedAt] = yield* Fiber.join(fiber)
    return { exit, millis: endedAt - startedAt }
  })

/** The KafkaError of a failed exit that fails with one and does not die. */
export const kafkaError = (exit: Exit.Exit<unknown, unknown>): KafkaError => {
  assert(Exit.isFailure(exit), "it succeeded")
  assert(!Cause.hasDies(exit.cause), `it died: ${Cause.pretty(exit.cause)}`)
  const error = Option.getOrNull(Exit.findErrorOption(exit))
  assert(isKafkaError(error), `it failed with ${String(error)}`)
  return error
}

export const reason = <T extends Reason["_tag"]>(
  exit: Exit.Exit<unknown, unknown>,
  tag: T
): Extract<Reason, { readonly _tag: T }> => {
  const { reason } = kafkaError(exit)
  assert.strictEqual(reason._tag, tag)
  // The tag was compared in the line above; the assertion does not narrow the type.
  // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
  return reason as Extract<Reason, { readonly _tag: T }>
}

/** Checks that an exit fails with exactly one thing, the body's own failure, and does not die. */
export const failsWith = (exit: Exit.Exit<unknown, unknown>, own: unknown): void => {
  assert(Exit.isFailure(exit), "it succeeded")
  assert.deepStrictEqual(
    exit.cause.reasons.map((reason) => Cause.isFailReason(reason) ? reason.error : reason),
    [own]
  )
}
