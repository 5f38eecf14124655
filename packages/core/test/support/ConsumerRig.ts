/**
 * Consumers over a driver double, and ways to fill its topics.
 */
import * as Consumer from "@kafka-once/core/Consumer"
import type { FetchedRecord } from "@kafka-once/core/ConsumerDriver"
import type { ConsumerEvent } from "@kafka-once/core/ConsumerEvent"
import type { ConsumerOptions } from "@kafka-once/core/ConsumerOptions"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as DriverDouble from "./DriverDouble.ts"

export type Service = Consumer.Consumer["Service"]

export const makeConsumer = (
  double: DriverDouble.DriverDouble,
  options: Partial<ConsumerOptions> = {}
) =>
  Effect.provideService(
    Consumer.make({ groupId: "billing", topics: ["input"], ...options }),
    KafkaDriver,
    double.driver
  )

/** The events of a consumer from now on. */
export const eventsOf = (consumer: { readonly events: Stream.Stream<ConsumerEvent> }) =>
  Effect.gen(function*() {
    const events: Array<ConsumerEvent> = []
    yield* Effect.forkScoped(
      Stream.runForEach(consumer.events, (event) => Effect.sync(() => events.push(event))),
      { startImmediately: true }
    )
    return events
  })

/** A consumer of "input" over a new double, which the test's scope closes and checks. */
export const make = (
  options: DriverDouble.Options & { readonly consumer?: Partial<ConsumerOptions> } = {}
) =>
  Effect.gen(function*() {
    const double = yield* DriverDouble.make({
      topics: { input: 2, output: 2, dead: 1 },
      ...options
    })
    const consumer = yield* makeConsumer(double, options.consumer)
    return { double, consumer, events: yield* eventsOf(consumer) }
  })

/** A pull of a consumer's batches, which takes nothing before it is asked. */
export const pull = (consumer: Service) =>
  Effect.map(Stream.toPull(consumer.batches), Effect.map((batches) => batches[0]))

export const encode = (value: string) => ({
  key: null,
  value: new TextEncoder().encode(value),
  headers: [],
  timestamp: 0n
})

/** Appends records to a partition of "input", outside of any transaction. */
export const produce = (
  double: DriverDouble.DriverDouble,
  partition: number,
  ...values: ReadonlyArray<string>
): void => double.broker.produce({ topic: "input", partition }, values.map(encode))

export const values = (records: ReadonlyArray<FetchedRecord>) =>
  records.map(({ value }) => DriverDouble.text(value))

/** Lets what can run without time run. */
export const settle = Effect.gen(function*() {
  for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
})

/** Lets so much virtual time pass, in steps, so that what waits in turn gets its turns. */
export const pass = (millis: number, step = 500) =>
  Effect.gen(function*() {
    yield* settle
    for (let passed = 0; passed < millis; passed += step) {
      yield* TestClock.adjust(Math.min(step, millis - passed))
      yield* settle
    }
  })
