/**
 * P13: the broker refuses a transactional id for which the program has no permission.
 *
 * @since 0.1.0
 */
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import { Told } from "../Contender.ts"
import * as Scenario from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const hiddenRefusal = Scenario.make(
  "P13",
  "the program has no permission for its transactional id",
  ({ producer, proxy, topic, transactionalId }) =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.addAccessRule({
        principal: "User:ANONYMOUS",
        operation: "All",
        resourceType: "transactionalId",
        resource: transactionalId,
        permission: "deny"
      })
      const after = yield* proxy.log.position
      const told = yield* producer.pipe(
        Effect.flatMap((client) => client.transaction((send) => send(topic, ["value"]))),
        Effect.catch(({ text }) => Effect.succeed(Told.NotBegun({ why: text }))),
        Effect.scoped
      )
      const codes = (yield* proxy.log.entries).flatMap(({ answer, position }) =>
        position >= after && answer !== null && answer.errorCode !== null ? [answer.errorCode] : []
      )
      const said = codes.map(ProtocolClient.errorName).find((name) =>
        name.includes("AUTHORIZATION")
      )
      if (said === undefined) return yield* Effect.die(new Error("the broker has refused nothing"))
      const heard = told._tag === "Committed" ? "committed" : told.why
      return /authori[sz]/i.test(heard)
        ? { holds: true, what: `the program is told "${heard}"` }
        : { holds: false, what: `the broker says ${said}, and the program is told "${heard}"` }
    })
)
