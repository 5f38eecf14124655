/**
 * The clients that contend in Node, each as a way to open a producer and to commit a transaction.
 */
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Client } from "./ProducerTransact.ts"

type Opening = Effect.Effect<Client, unknown, Scope.Scope>

/** The clients by their names. Each loads what it needs alone, so that its memory is its own. */
export const clients: Readonly<Record<string, (brokers: ReadonlyArray<string>) => Opening>> = {
  kafkajs: (brokers) => onKafkaJs(brokers, "bracket"),
  "kafkajs-scope": (brokers) => onKafkaJs(brokers, "scope"),
  platformatic: (brokers) =>
    Effect.flatMap(
      load(() => import("@kafka-once/platformatic/Platformatic")),
      (Platformatic) => ours(Platformatic.layer({ brokers, clientId: "bench" }), "bracket")
    ),
  "raw-kafkajs": (brokers) => rawKafkaJs(brokers, undefined),
  "raw-kafkajs-quick": (brokers) => rawKafkaJs(brokers, quickRetryMillis),
  "raw-platformatic": (brokers) => rawPlatformatic(brokers, undefined),
  "raw-platformatic-quick": (brokers) => rawPlatformatic(brokers, quickRetryMillis)
}

const load = <A>(module: () => Promise<A>) => Effect.tryPromise(module)

// Their defaults are what is measured otherwise: raw clients meet the unfinished markers of the
// last transaction at nearly each begin.
const quickRetryMillis = 2

// As the README writes it: the clients beside it, too, try again by themselves.
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
            ).pipe(Transaction.retry(), Effect.asVoid)
          }
          const sent = job.calls === "one" ? Transaction.send(records) : Effect.forEach(
            records,
            (record) => Transaction.send([record]),
            { concurrency: "unbounded", discard: true }
          )
          return Effect.asVoid(
            producer.withTransaction(sent, { retry: Transaction.defaultSchedule })
          )
        })
      )
  )

const onKafkaJs = (brokers: ReadonlyArray<string>, form: "bracket" | "scope"): Opening =>
  Effect.flatMap(
    load(() => import("@kafka-once/kafkajs/KafkaJs")),
    (KafkaJs) => ours(KafkaJs.layer({ brokers, clientId: "bench" }), form)
  )

const rawKafkaJs = (brokers: ReadonlyArray<string>, retryMillis: number | undefined): Opening =>
  Effect.map(
    load(() => import("./RawKafkaJs.ts")),
    (RawKafkaJs): Client => (transactionalId, { topic }, { raw }) =>
      Effect.map(
        RawKafkaJs.make({
          brokers,
          topic,
          transactionalId,
          ...retryMillis === undefined ? {} : { initialRetryTimeMillis: retryMillis }
        }),
        (producer) => producer.transactions(1, raw)
      )
  )

const rawPlatformatic = (
  brokers: ReadonlyArray<string>,
  retryMillis: number | undefined
): Opening =>
  Effect.map(
    load(() => import("./ProducerRawPlatformatic.ts")),
    (RawPlatformatic) => RawPlatformatic.client(brokers, retryMillis)
  )
