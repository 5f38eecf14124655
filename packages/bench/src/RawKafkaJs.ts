/**
 * The contender without the library: transactions as kafkajs' own documentation writes them.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Kafka, logLevel, type Message, Partitioners, type Producer } from "kafkajs"

/** A raw kafkajs producer whose one call begins, sends and commits. */
export interface RawKafkaJs {
  readonly transactions: (
    count: number,
    records: ReadonlyArray<Message>
  ) => Effect.Effect<void, Error>
}

/** Connects a producer. Without `initialRetryTimeMillis` kafkajs keeps its defaults. */
export const make = (options: {
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  readonly transactionalId: string
  readonly initialRetryTimeMillis?: number
}): Effect.Effect<RawKafkaJs, Error, Scope.Scope> =>
  Effect.gen(function*() {
    // kafkajs sets timers in the past, about which Node would print a warning.
    process.removeAllListeners("warning")
    const { brokers, initialRetryTimeMillis, topic, transactionalId } = options
    const producer = new Kafka({
      brokers: [...brokers],
      clientId: "bench-raw",
      // It logs an error for each CONCURRENT_TRANSACTIONS, which its own retry then answers.
      logLevel: logLevel.NOTHING
    }).producer({
      transactionalId,
      maxInFlightRequests: 1,
      idempotent: true,
      // The default of kafkajs 2, named only to keep it from printing a notice about it.
      createPartitioner: Partitioners.DefaultPartitioner,
      ...(initialRetryTimeMillis === undefined
        ? {}
        : { retry: { initialRetryTime: initialRetryTimeMillis } })
    })
    yield* Effect.acquireRelease(
      attempt(() => producer.connect()),
      () => Effect.ignore(attempt(() => producer.disconnect()), { log: "Warn" })
    )
    return {
      transactions: (count, records) =>
        attempt((signal) => transactions(producer, topic, records, count, signal))
    }
  })

const attempt = <A>(
  run: (signal: AbortSignal) => Promise<A>
): Effect.Effect<A, Error> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => cause instanceof Error ? cause : new Error(String(cause))
  })

const transactions = async (
  producer: Producer,
  topic: string,
  records: ReadonlyArray<Message>,
  count: number,
  signal: AbortSignal
): Promise<void> => {
  for (let i = 0; i < count && !signal.aborted; i++) {
    const transaction = await producer.transaction()
    try {
      await transaction.send({ topic, messages: [...records] })
      await transaction.commit()
    } catch (error) {
      await transaction.abort()
      throw error
    }
  }
}
