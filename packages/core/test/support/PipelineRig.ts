/**
 * Pipelines from "input" to "output" over a driver double, in both modes.
 */
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { Batch, ExactlyOnceOptions } from "@kafka-once/core/ExactlyOnceOptions"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import type { KafkaError } from "@kafka-once/core/KafkaError"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { eventsOf, pass } from "./ConsumerRig.ts"
import * as DriverDouble from "./DriverDouble.ts"

export const input = Topic.make({ name: "input", value: Topic.text })

export type Input = Batch<Uint8Array | null, string | null>
export type Options<E = KafkaError> = ExactlyOnceOptions<
  Uint8Array | null,
  string | null,
  E,
  Transaction.Transaction
>

/** What the library itself fails with. */
export type Failure = KafkaError

/** Without group fencing, as kafkajs, and with it. */
export const modes = [
  ["one id a partition", { groupFencing: false, stableOffsets: false }],
  ["one id a process", { groupFencing: true }]
] as const

/** What a copy of a record is called. */
export const outputOf = (partition: number, offset: bigint, value: string | null) =>
  `${partition}:${offset}:${value}`

/** Copies each record to the same partition of "output", with where it came from. */
export const copy = ({ partition, records }: Input) =>
  Transaction.send(records.map(({ offset, value }) => ({
    topic: "output",
    partition,
    value: outputOf(partition, offset, value)
  })))

export const makeDouble = (options: DriverDouble.Options = {}) =>
  DriverDouble.make({
    topics: { input: 2, output: 2, dead: 1 },
    ...options,
    capabilities: options.capabilities ?? {}
  })

export const defaults = {
  groupId: "billing",
  input,
  process: copy
} satisfies Partial<Options>

/** Starts a pipeline in the current scope. */
export const start = <E = KafkaError>(
  double: DriverDouble.DriverDouble,
  options: Partial<Options<E>> = {}
) =>
  Effect.provideService(
    ExactlyOnce.make<Uint8Array | null, string | null, E | KafkaError, Transaction.Transaction>({
      ...defaults,
      ...options as Partial<Options<E | KafkaError>>
    }),
    KafkaDriver,
    double.driver
  )

/** Runs a pipeline in a fiber of its own, which can be interrupted as a process is. */
export const fork = <E = KafkaError>(
  double: DriverDouble.DriverDouble,
  options: Partial<Options<E>> = {}
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkScoped(
      Effect.scoped(Effect.gen(function*() {
        const running = yield* start(double, options)
        return yield* running.failed
      })),
      { startImmediately: true }
    )
    return {
      fiber,
      /** Interrupts it, and lets so much time pass until it has ended. */
      stop: (millis = 60_000) =>
        Effect.gen(function*() {
          yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
          for (let passed = 0; fiber.pollUnsafe() === undefined && passed < millis; passed += 500) {
            yield* pass(500)
          }
          if (fiber.pollUnsafe() === undefined) throw new Error(`it hangs after ${millis} ms`)
        })
    }
  })

/** How a forked pipeline has ended; it must have. */
export const exitOf = (forked: {
  readonly fiber: Fiber.Fiber<never, unknown>
}): Exit.Exit<never, unknown> => {
  const exit = forked.fiber.pollUnsafe()
  if (exit === undefined) throw new Error("the pipeline still runs")
  return exit
}

/** A double and a pipeline that runs over it, with its events. */
export const make = <E = KafkaError>(
  options: DriverDouble.Options & { readonly pipeline?: Partial<Options<E>> } = {}
) =>
  Effect.gen(function*() {
    const double = yield* makeDouble(options)
    const running = yield* start(double, options.pipeline)
    return { double, running, events: yield* eventsOf(running) }
  })

/** The committed position of a partition of "input". */
export const committed = (double: DriverDouble.DriverDouble, partition: number) =>
  double.broker.committedOffset("billing", { topic: "input", partition }).offset

/** What readers under read_committed see of a topic. */
export const visible = (double: DriverDouble.DriverDouble, topic = "output") =>
  double.broker.visible()
    .filter((record) => record.topic === topic)
    .map(({ record }) => DriverDouble.text(record.value))
