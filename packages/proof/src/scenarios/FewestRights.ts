/**
 * P11: the program has the rights that a transaction needs, and no other.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { Told } from "../Contender.ts"
import * as ProxiedKafka from "../ProxiedKafka.ts"
import type { Scenario } from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const fewestRights: Scenario = {
  id: "P11",
  title: "the program may write to its topic and its transactional id, and nothing else",
  on: "users",
  run: (contender) =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const proxy = yield* ProxiedKafka.Proxy
      const topic = `topic-${randomUUID().slice(0, 8)}`
      const transactionalId = `id-${topic}`
      yield* kafka.createTopic(topic)
      const allowed = { principal: "User:app", operation: "Write" }
      yield* kafka.addAccessRule({ ...allowed, resourceType: "topic", resource: topic })
      yield* kafka.addAccessRule({
        ...allowed,
        resourceType: "transactionalId",
        resource: transactionalId
      })
      const told = yield* contender.producer({
        brokers: [`${proxy.host}:${proxy.port}`],
        transactionalId,
        user: { name: "app", password: kafka.users["app"] ?? "" }
      }).pipe(
        Effect.flatMap((client) => client.transaction((send) => send(topic, ["value"]))),
        Effect.catch(({ text }) => Effect.succeed(Told.NotBegun({ why: text }))),
        Effect.scoped
      )
      return told._tag === "Committed"
        ? { holds: true, what: "the transaction is committed" }
        : { holds: false, what: `the program is told "${told.why}"` }
    })
}
