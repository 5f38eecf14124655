/**
 * kafkajs without the library: transactions as its own documentation writes them.
 */
import {
  type Connecting,
  type Contender,
  ended,
  Problem,
  type Producer,
  times,
  Told
} from "@kafka-once/proof/Contender"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Kafka, logLevel, Partitioners, type Producer as Client, type Transaction } from "kafkajs"

/**
 * Makes the contender. Producers that come back to life after their end are ended again when the
 * scope closes, so that the process can end.
 */
export const make: Effect.Effect<Contender, never, Scope.Scope> = Effect.gen(function*() {
  // kafkajs sets timers in the past, about which Node would print a warning.
  process.removeAllListeners("warning")
  const clients: Array<Client> = []
  yield* Effect.addFinalizer(() =>
    Effect.forEach(clients, disconnect, { concurrency: "unbounded" })
  )
  return {
    name: "kafkajs",
    producer: (options) => Effect.map(connect(clients, options), producerOf),
    copied: (options) =>
      Effect.gen(function*() {
        const client = yield* connect(clients, options)
        const transaction = yield* call(() => client.transaction())
        const partitions = [0, 1].map((partition) => ({ partition, offset: "1" }))
        return yield* call(() =>
          transaction.sendOffsets({
            consumerGroupId: options.groupId,
            topics: [{ topic: options.topic, partitions }]
          })
        ).pipe(
          Effect.andThen(call(() => transaction.commit())),
          Effect.exit,
          Effect.flatMap((exit) => ended(exit, call(() => transaction.abort())))
        )
      })
  }
})

const connect = (
  clients: Array<Client>,
  { brokers, transactionalId }: Connecting
): Effect.Effect<Client, Problem, Scope.Scope> =>
  Effect.suspend(() => {
    const client = connection(brokers, transactionalId)
    clients.push(client)
    return Effect.as(
      Effect.acquireRelease(
        call(() => client.connect()),
        () => disconnect(client)
      ),
      client
    )
  })

/** Best effort: what has become of its transactions is asked of the log. */
const disconnect = (client: Client): Effect.Effect<void> =>
  Effect.ignore(call(() => client.disconnect()))

/** The defaults of kafkajs, with short times. It has others of its own under NODE_ENV=test. */
const connection = (brokers: ReadonlyArray<string>, transactionalId: string): Client =>
  new Kafka({
    brokers: [...brokers],
    clientId: "raw-kafkajs",
    logLevel: logLevel.NOTHING,
    requestTimeout: times.requestTimeoutMillis,
    retry: {
      retries: 5,
      factor: 0.2,
      multiplier: 2,
      maxRetryTime: 30_000,
      initialRetryTime: times.retryPauseMillis
    }
  }).producer({
    transactionalId,
    transactionTimeout: times.transactionTimeoutMillis,
    maxInFlightRequests: 1,
    createPartitioner: Partitioners.DefaultPartitioner
  })

const producerOf = (client: Client): Producer => ({
  transaction: (body) =>
    Effect.matchEffect(call(() => client.transaction()), {
      onFailure: ({ text }) => Effect.succeed(Told.NotBegun({ why: text })),
      onSuccess: (transaction) =>
        body((topic, values) => send(transaction, topic, values)).pipe(
          Effect.andThen(call(() => transaction.commit())),
          // As its documentation has it: a failed abort leaves the transaction to the broker.
          Effect.onInterrupt(() => Effect.ignore(call(() => transaction.abort()))),
          Effect.exit,
          Effect.flatMap((exit) => ended(exit, call(() => transaction.abort())))
        )
    })
})

const send = (transaction: Transaction, topic: string, values: ReadonlyArray<string>) =>
  call(() =>
    transaction.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) })
  ).pipe(
    Effect.map(([answer]) =>
      values.map((_, index) => BigInt(answer?.baseOffset ?? -1) + BigInt(index))
    )
  )

/** A promise of kafkajs runs on when its Effect is interrupted, as when a program races it. */
const call = <A>(run: () => Promise<A>): Effect.Effect<A, Problem> =>
  Effect.tryPromise({
    try: run,
    catch: (thrown) =>
      new Problem({
        text: thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
      })
  })
