/**
 * What a producer is asked to do on a bad network: pay, which is two records in two partitions that
 * are there together or not at all, under deadlines so short that all of them can be waited for.
 */
import { assert } from "@effect/vitest"
import { isKafkaError } from "@kafka-once/core/KafkaError"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

export type Producer = TransactionalProducer.TransactionalProducer["Service"]

/** Two records that are there together or not at all. */
export const pay = (
  topic: string,
  value: string,
  before: Effect.Effect<void, unknown> = Effect.void
) =>
  Effect.andThen(
    before,
    Transaction.send([
      { topic, partition: 0, value: `${value}/0` },
      { topic, partition: 1, value: `${value}/1` }
    ])
  )

export const whole = (...values: ReadonlyArray<string>): ReadonlyArray<string> =>
  values.flatMap((value) => [`${value}/0`, `${value}/1`]).sort()

/** Deadlines so short that a test can wait for the longest way through them. */
export const brief = {
  requestTimeout: Duration.millis(400),
  deliveryTimeout: Duration.millis(1_000),
  commitTimeout: Duration.millis(1_000),
  abortTimeout: Duration.millis(800),
  drainTimeout: Duration.millis(800),
  resolveTimeout: Duration.millis(1_500),
  initializeTimeout: Duration.millis(1_500)
}

/** The body's one send, and the release; half a second is for this machine. */
export const longest = Duration.sum(
  Duration.sum(brief.deliveryTimeout, TransactionalProducer.releaseLimit(brief)),
  Duration.millis(500)
)

/** Probes come every 5 seconds at the latest, give or take a fifth. */
export const recoveryMax = Duration.sum(brief.requestTimeout, Duration.seconds(7))

/** Whether what was unknown is found to be committed now, by its error alone. */
export const resolve = (exit: Exit.Exit<unknown, unknown>) =>
  Effect.gen(function*() {
    const error = Option.getOrThrow(Exit.findErrorOption(exit))
    assert(isKafkaError(error))
    const outcome = yield* Transaction.resolve(error)
    assert.notStrictEqual(outcome._tag, "Unknown")
    return outcome._tag === "Committed"
  })

/** Nobody asks it to: the producer finds by itself that a broker answers again. */
export const assertRecovers = (producer: Producer) =>
  Effect.gen(function*() {
    const { unreachableSinceMillis } = yield* producer.status.pipe(
      Effect.repeat({ until: ({ ready }) => ready, schedule: Schedule.spaced("20 millis") }),
      Effect.timeout(recoveryMax)
    )
    assert.isTrue(Option.isNone(unreachableSinceMillis))
  })
