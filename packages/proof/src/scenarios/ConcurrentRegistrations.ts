/**
 * P9: two sends of one transaction to two topics are under way together; the program awaits both
 * and looks at neither result.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import * as LogReader from "../LogReader.ts"
import * as Scenario from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const concurrentRegistrations = Scenario.make(
  "P9",
  "two sends to two topics are under way together, and the transaction commits",
  ({ producer, topic }) =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const topics = [topic, `${topic}-other`] as const
      yield* kafka.createTopic(topics[1])
      const client = yield* producer
      const told = yield* client.transaction((send) =>
        Effect.forEach(topics, (name) => Effect.exit(send(name, [name])), { concurrency: 2 })
      )
      const visible = yield* Effect.forEach(topics, (name) => LogReader.visibleValues(kafka, name))
      const [one, other] = visible.map((values) => values.length)
      const what = `the transaction is ${told._tag.toLowerCase()}, and of its two records ` +
        `${(one ?? 0) + (other ?? 0)} are visible`
      return { holds: told._tag === "Committed" && one === 1 && other === 1, what }
    }).pipe(Effect.scoped)
)
