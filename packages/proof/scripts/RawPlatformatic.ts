/**
 * `@platformatic/kafka` without the library: transactions as its own documentation writes them.
 */
import {
  type Connecting,
  type Contender,
  type Copying,
  ended,
  Problem,
  type Producer,
  times,
  Told,
  type User
} from "@kafka-once/proof/Contender"
import {
  Consumer,
  type Message,
  Producer as Client,
  stringDeserializers,
  stringSerializers
} from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

/** Makes the contender. */
export const make: Effect.Effect<Contender> = Effect.sync(() => ({
  name: "@platformatic/kafka",
  producer: (options) => Effect.map(connect(options), producerOf),
  copied: (options) =>
    Effect.gen(function*() {
      const client = yield* connect(options)
      const { consumer, messages } = yield* consume(options)
      const transaction = yield* call(() => begin(client))
      yield* call(() => transaction.addConsumer(consumer))
      return yield* Effect.all(
        messages.map((message) => call(() => transaction.addOffset(message))),
        { concurrency: 2 }
      ).pipe(
        Effect.andThen(call(() => transaction.commit())),
        Effect.exit,
        Effect.flatMap((exit) => ended(exit, call(() => transaction.abort())))
      )
    })
}))

/** The library's options for the same user. */
export const saslOf = (user: User | undefined) =>
  user === undefined ? {} : {
    insecure: true,
    sasl: {
      mechanism: "plain" as const,
      username: user.name,
      password: Redacted.make(user.password)
    }
  }

/** The client's defaults, with short times: it repeats without end what it may repeat. */
const optionsOf = ({ brokers, user }: Connecting) => ({
  clientId: "raw-platformatic",
  bootstrapBrokers: [...brokers],
  // The client takes this for the transaction's time-out, too.
  timeout: times.transactionTimeoutMillis,
  requestTimeout: times.requestTimeoutMillis,
  connectTimeout: times.requestTimeoutMillis,
  retryDelay: times.retryPauseMillis,
  ...user === undefined
    ? {}
    : { sasl: { mechanism: "PLAIN" as const, username: user.name, password: user.password } }
})

type Raw = Client<string, string, string, string>

const connect = (options: Connecting): Effect.Effect<Raw, Problem, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new Client({
        ...optionsOf(options),
        transactionalId: options.transactionalId,
        idempotent: true,
        autocreateTopics: false,
        serializers: stringSerializers
      })
    ),
    // Best effort: what has become of its transactions is asked of the log.
    (client) => Effect.ignore(call(() => client.close()))
  )

/** Makes a record in each of two partitions, and consumes both. */
const consume = (options: Copying) =>
  Effect.gen(function*() {
    const { groupId, topic } = options
    const consumer = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Consumer({ ...optionsOf(options), groupId, deserializers: stringDeserializers })
      ),
      // Its group is over with it, whether it leaves in good order or not.
      (consumer) => Effect.ignore(call(() => consumer.close(true)))
    )
    const writer = new Client({ ...optionsOf(options), serializers: stringSerializers })
    yield* call(() =>
      writer.send({
        messages: [0, 1].map((partition) => ({ topic, partition, value: String(partition) }))
      })
    )
    yield* call(() => writer.close())
    const messages = yield* call(async () => {
      const stream = await consumer.consume({
        topics: [topic],
        mode: "earliest",
        autocommit: false,
        sessionTimeout: 10_000,
        heartbeatInterval: 500,
        maxWaitTime: 100
      })
      const found: Array<Message<string, string, string, string>> = []
      for await (const message of stream) {
        found.push(message)
        if (found.length === 2) return found
      }
      return found
    })
    return { consumer, messages }
  })

const begin = (client: Raw) => client.beginTransaction()

const producerOf = (client: Raw): Producer => ({
  transaction: (body) =>
    Effect.matchEffect(call(() => begin(client)), {
      onFailure: ({ text }) => Effect.succeed(Told.NotBegun({ why: text })),
      onSuccess: (transaction) =>
        body((topic, values) => send(transaction, topic, values)).pipe(
          Effect.andThen(call(() => transaction.commit())),
          Effect.exit,
          Effect.flatMap((exit) => ended(exit, call(() => transaction.abort())))
        )
    })
})

type RawTransaction = Awaited<ReturnType<typeof begin>>

const send = (transaction: RawTransaction, topic: string, values: ReadonlyArray<string>) =>
  Effect.map(
    call(() =>
      transaction.send({ messages: values.map((value) => ({ topic, partition: 0, value })) })
    ),
    ({ offsets }) => values.map((_, index) => (offsets?.[0]?.offset ?? -1n) + BigInt(index))
  )

const call = <A>(run: () => Promise<A>): Effect.Effect<A, Problem> =>
  Effect.tryPromise({ try: run, catch: (thrown) => new Problem({ text: textOf(thrown) }) })

/** The client nests its errors; the innermost of the last attempt says what the broker has said. */
const textOf = (thrown: unknown): string => {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) {
    return textOf(thrown.errors.at(-1))
  }
  if (!(thrown instanceof Error)) return String(thrown)
  const id = "apiId" in thrown ? `${String(thrown.apiId)}: ` : ""
  return thrown.cause instanceof Error ? textOf(thrown.cause) : `${id}${thrown.message}`
}
