/**
 * Makes topics on a cluster of the user's own. The library has no administration, so that the raw
 * client does it.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { Kafka, logLevel } from "kafkajs"

/** The topics could not be made. */
export class TopicsNotCreated extends Data.TaggedError("TopicsNotCreated")<{
  readonly topics: string
  readonly detail: string
}> {
  override get message(): string {
    return `The topics ${this.topics} could not be created: ${this.detail}. Check the addresses, ` +
      "and that topics may be created."
  }
}

/** Makes topics of so many partitions, with the cluster's default replication. */
export const createTopics = (
  brokers: ReadonlyArray<string>,
  topics: ReadonlyMap<string, number>
): Effect.Effect<void, TopicsNotCreated> => {
  const refused = (cause: unknown) =>
    new TopicsNotCreated({ topics: [...topics.keys()].join(", "), detail: String(cause) })
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
        try: () =>
          admin.createTopics({
            waitForLeaders: true,
            topics: [...topics].map(([topic, numPartitions]) => ({ topic, numPartitions }))
          }),
        catch: refused
      }),
    (admin) => Effect.tryPromise({ try: () => admin.disconnect(), catch: refused })
  ).pipe(Effect.asVoid)
}
