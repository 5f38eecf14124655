/**
 * P12: the program has a wrong password.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Told } from "../Contender.ts"
import * as ProxiedKafka from "../ProxiedKafka.ts"
import type { Scenario } from "../Scenario.ts"

const patience = "2 seconds"

/** One for each of: the first contact, and a look-up or two of a client that asks again. */
const mostConnections = 3

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const wrongPassword: Scenario = {
  id: "P12",
  title: "the program has a wrong password",
  on: "users",
  run: (contender) =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const before = yield* proxy.connections.opened
      const told = yield* contender.producer({
        brokers: [`${proxy.host}:${proxy.port}`],
        transactionalId: "wrong-password",
        user: { name: "app", password: "wrong" }
      }).pipe(
        Effect.flatMap((client) => client.transaction((send) => send("any", ["value"]))),
        Effect.catch(({ text }) => Effect.succeed(Told.NotBegun({ why: text }))),
        Effect.timeoutOption(patience),
        Effect.scoped
      )
      const connections = (yield* proxy.connections.opened) - before
      const heard = Option.match(told, {
        onNone: () => `the program is told nothing within ${patience}`,
        onSome: (told) => `the program is told "${told._tag === "Committed" ? "" : told.why}"`
      })
      const isTold = Option.isSome(told) && told.value._tag === "NotBegun" &&
        /authenticat/i.test(told.value.why)
      return {
        holds: isTold && connections <= mostConnections,
        what: `${heard}, after ${connections} connections`
      }
    })
}
