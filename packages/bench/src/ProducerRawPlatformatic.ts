/**
 * The contender without the library on the other client: transactions as the documentation of
 * `@platformatic/kafka` writes them.
 */
import { Producer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import type { Client } from "./ProducerTransact.ts"

/** Opens producers. Without `retryMillis` the client keeps its defaults. */
export const client =
  (brokers: ReadonlyArray<string>, retryMillis: number | undefined): Client =>
  (transactionalId, { topic }, { raw }) =>
    Effect.map(
      Effect.acquireRelease(
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
      ),
      (producer) => {
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
        return Effect.tryPromise(async () => {
          const transaction = await producer.beginTransaction()
          await transaction.send({ messages })
          await transaction.commit()
        })
      }
    )
