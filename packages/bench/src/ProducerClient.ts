/**
 * The clients that contend in Node, each as a way to open a producer and to commit a transaction.
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import { Producer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Job } from "./ProducerJob.ts"
import * as RawKafkaJs from "./RawKafkaJs.ts"
import type * as Records from "./Records.ts"

/** One transaction: begun, sent, committed. */
export type Transact = Effect.Effect<void, unknown>

/** Opens a producer, and answers with its transaction. */
export type Client = (
  transactionalId: string,
  job: Job,
  records: Records.Records
) => Effect.Effect<Transact, unknown, Scope.Scope>

/** The clients by their names; what they share is made once. */
export const clients: Readonly<
  Record<string, (brokers: ReadonlyArray<string>) => Effect.Effect<Client, unknown, Scope.Scope>>
> = {
  kafkajs: (brokers) => ours(KafkaJs.layer({ brokers, clientId: "bench" }), "bracket"),
  "kafkajs-scope": (brokers) => ours(KafkaJs.layer({ brokers, clientId: "bench" }), "scope"),
  platformatic: (brokers) => ours(Platformatic.layer({ brokers, clientId: "bench" }), "bracket"),
  "raw-kafkajs": (brokers) => Effect.succeed(rawKafkaJs(brokers, undefined)),
  "raw-kafkajs-quick": (brokers) => Effect.succeed(rawKafkaJs(brokers, quickRetryMillis)),
  "raw-platformatic": (brokers) => Effect.succeed(rawPlatformatic(brokers, undefined)),
  "raw-platformatic-quick": (brokers) => Effect.succeed(rawPlatformatic(brokers, quickRetryMillis))
}

// Their defaults are what is measured otherwise: raw clients meet the unfinished markers of the
// last transaction at nearly each begin.
const quickRetryMillis = 2

const ours = <E>(driver: Layer.Layer<KafkaDriver, E>, form: "bracket" | "scope") =>
  Effect.map(
    Layer.build(driver),
    (context): Client => (transactionalId, job, { ours: records }) =>
      TransactionalProducer.make({ transactionalId, lanes: job.lanes }).pipe(
        Effect.provideContext(context),
        Effect.map((producer) => {
          if (form === "scope") {
            return Effect.scoped(
              Effect.flatMap(producer.begin(), (transaction) => transaction.send(records))
            ).pipe(Effect.asVoid)
          }
          const sent = job.calls === "one" ? Transaction.send(records) : Effect.forEach(
            records,
            (record) => Transaction.send([record]),
            { concurrency: "unbounded", discard: true }
          )
          return Effect.asVoid(producer.withTransaction(sent))
        })
      )
  )

const rawKafkaJs =
  (brokers: ReadonlyArray<string>, retryMillis: number | undefined): Client =>
  (transactionalId, { topic }, { raw }) =>
    Effect.map(
      RawKafkaJs.make({
        brokers,
        topic,
        transactionalId,
        ...retryMillis === undefined ? {} : { initialRetryTimeMillis: retryMillis }
      }),
      (producer) => producer.transactions(1, raw)
    )

/** As the documentation of `@platformatic/kafka` writes transactions. */
const rawPlatformatic =
  (brokers: ReadonlyArray<string>, retryMillis: number | undefined): Client =>
  (transactionalId, { topic }, { raw }) =>
    Effect.gen(function*() {
      const producer = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new Producer({
            clientId: "bench-raw",
            bootstrapBrokers: [...brokers],
            transactionalId,
            idempotent: true,
            ...retryMillis === undefined ? {} : { retries: true, retryDelay: retryMillis }
          })
        ),
        (producer) => Effect.ignore(Effect.tryPromise(() => producer.close()), { log: "Warn" })
      )
      const messages = raw.map(({ headers, key, value }) => ({
        topic,
        key: Buffer.from(key ?? ""),
        value: Buffer.from(value ?? ""),
        headers: new Map(
          Object.entries(headers ?? {}).map(([name, bytes]) => [
            Buffer.from(name),
            Buffer.from(String(bytes))
          ])
        )
      }))
      return Effect.tryPromise({
        try: async () => {
          const transaction = await producer.beginTransaction()
          await transaction.send({ messages })
          await transaction.commit()
        },
        catch: (cause) => cause
      })
    })
