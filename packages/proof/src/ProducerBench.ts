/**
 * What a test of the producer stands on: a topic and a transactional id of its own on a broker
 * behind a fault proxy, short deadlines, and a reader that is no driver.
 *
 * @since 0.1.0
 */
import { assert } from "@effect/vitest"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { ProducerOptions } from "@kafka-once/core/ProducerOptions"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import type { FaultProxy } from "@kafka-once/testing/FaultProxy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import * as LogReader from "./LogReader.ts"
import * as ProxiedKafka from "./ProxiedKafka.ts"

/**
 * A driver as this contract takes it: a function of the addresses to connect to.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverAt = (
  addresses: ReadonlyArray<string>
) => Layer.Layer<KafkaDriver, { readonly message: string }>

/**
 * What one test works with: a topic and a transactional id of its own, and the proxy's driver.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bench {
  readonly topic: string
  readonly transactionalId: string
  readonly proxy: FaultProxy
  readonly driver: Layer.Layer<KafkaDriver, { readonly message: string }>
  readonly options: ProducerOptions
  /** The values that read_committed shows once nothing is open in the topic. */
  readonly visible: Effect.Effect<ReadonlyArray<string>, unknown>
  /** Fails the test if a transaction of the id is open. */
  readonly assertNothingOpen: Effect.Effect<void, unknown>
}

/**
 * Short deadlines, so that what is lost is missed soon.
 *
 * @category models
 * @since 0.1.0
 */
export const timeouts = {
  requestTimeout: "500 millis",
  deliveryTimeout: "2 seconds",
  commitTimeout: "2 seconds",
  abortTimeout: "2 seconds",
  drainTimeout: "2 seconds",
  resolveTimeout: "5 seconds",
  initializeTimeout: "3 seconds"
} as const

/**
 * Makes the topic of a bench, and the rest of it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (driverAt: DriverAt) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* ProxiedKafka.Proxy
    const id = randomUUID().slice(0, 8)
    const topic = `topic-${id}`
    const transactionalId = `id-${id}`
    yield* kafka.createTopic(topic, { partitions: 2 })
    const bench: Bench = {
      topic,
      transactionalId,
      proxy,
      driver: driverAt(proxy.addresses),
      options: { transactionalId, ...timeouts },
      visible: LogReader.visibleValues(kafka, topic),
      assertNothingOpen: Effect.map(
        LogReader.openTransactions(kafka, transactionalId),
        (open) => assert.deepStrictEqual(open, [])
      )
    }
    return bench
  })

/**
 * Runs a test on its bench, with a producer over the proxy.
 *
 * @category operations
 * @since 0.1.0
 */
export const withProducer = <E>(
  driverAt: DriverAt,
  test: (
    bench: Bench,
    producer: TransactionalProducer.TransactionalProducer["Service"]
  ) => Effect.Effect<void, E, KafkaDriver | EmbeddedKafka.EmbeddedKafka>
) =>
  Effect.gen(function*() {
    const bench = yield* make(driverAt)
    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make(bench.options)
      yield* test(bench, producer)
    }).pipe(Effect.scoped, Effect.provide(bench.driver))
  })

/**
 * Sends values to partition 0 in the current transaction, all under one key.
 *
 * @category operations
 * @since 0.1.0
 */
export const send = (topic: string, ...values: ReadonlyArray<string>) =>
  Transaction.send(values.map((value) => ({ topic, partition: 0, key: "key", value })))

/**
 * Three more runs, shortly after each other.
 *
 * @category models
 * @since 0.1.0
 */
export const soon = Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 3 }))

/**
 * Why a program failed, in one word: the tag of a `KafkaError`'s reason, or its own error as text.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reasonOf = <A>(exit: Exit.Exit<A, unknown>): string => {
  const error = Exit.findErrorOption(exit)
  if (Option.isNone(error)) return Exit.isSuccess(exit) ? "success" : "no typed failure"
  const value = error.value
  return typeof value === "object" && value !== null && "reason" in value
    ? String((value.reason as { readonly _tag: string })._tag)
    : String(value)
}
