/**
 * P8: a program ends, and starts again with the same transactional id.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Told } from "../Contender.ts"
import * as Scenario from "../Scenario.ts"

/**
 * The scenario.
 *
 * @category models
 * @since 0.1.0
 */
export const restart = Scenario.make(
  "P8",
  "a program is started again with the same transactional id",
  ({ producer, settledLog, transaction, verdict }) =>
    Effect.gen(function*() {
      yield* producer.pipe(
        Effect.flatMap((client) => transaction(client, (send) => send("before"))),
        Effect.scoped
      )
      yield* producer.pipe(
        // A client that cannot even start can begin no transaction.
        Effect.catch(({ text }) =>
          Effect.succeed({ transaction: () => Effect.succeed(Told.NotBegun({ why: text })) })
        ),
        Effect.flatMap((client) => transaction(client, (send) => send("after"))),
        Effect.scoped
      )
      return verdict(yield* settledLog)
    })
)
