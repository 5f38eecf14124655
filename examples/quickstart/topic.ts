/**
 * Makes a topic on a cluster of the user's own.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { Kafka, logLevel } from "kafkajs"

/** The topic could not be made. */
export class TopicNotCreated extends Data.TaggedError("TopicNotCreated")<{
  readonly topic: string
  readonly detail: string
}> {
  override get message(): string {
    return `The topic ${this.topic} could not be created: ${this.detail}. Check the addresses, ` +
      "and that topics may be created."
  }
}

/** Makes a topic, with the cluster's default replication. */
export const createTopic = (
  brokers: ReadonlyArray<string>,
  topic: string,
  partitions: number
): Effect.Effect<void, TopicNotCreated> => {
  const refused = (cause: unknown) => new TopicNotCreated({ topic, detail: String(cause) })
  const connect = Effect.tryPromise({
    try: async () => {
      const kafka = new Kafka({
        clientId: "kafka-once-quickstart",
        brokers: [...brokers],
        logLevel: logLevel.NOTHING,
        retry: { retries: 2 }
      })
      const admin = kafka.admin()
      await admin.connect()
      return admin
    },
    catch: refused
  })
  return Effect.acquireUseRelease(
    connect,
    (admin) =>
      Effect.tryPromise({
        try: () => admin.createTopics({ topics: [{ topic, numPartitions: partitions }] }),
        catch: refused
      }),
    (admin) => Effect.tryPromise({ try: () => admin.disconnect(), catch: refused })
  ).pipe(Effect.asVoid)
}
