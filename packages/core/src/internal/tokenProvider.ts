/**
 * A user's effect that gives tokens, as a client asks for one: before each authentication.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

export interface TokenProvider {
  readonly take: () => Promise<string>
  /** The newest one that was given, which is taken out of texts; empty before the first. */
  readonly newest: () => string
}

/** The name of the error that `take` rejects with; nothing was sent then. */
export const unavailable = "TokenUnavailable"

/** What still runs when the scope closes is interrupted. */
export const make = Effect.fnUntraced(function*(
  token: Effect.Effect<Redacted.Redacted, unknown>,
  timeoutMillis: number
): Effect.fn.Return<TokenProvider, never, Scope.Scope> {
  const run = yield* FiberSet.makeRuntimePromise()
  let newest = ""
  const taken = token.pipe(
    Effect.timeout(timeoutMillis),
    Effect.map((given) => {
      newest = Redacted.value(given)
      return newest
    }),
    // Clients take no other errors than those of JavaScript.
    Effect.catch((error) =>
      Effect.sync(() => {
        const failed = new Error(`No token was given: ${textOf(error)}`)
        failed.name = unavailable
        throw failed
      })
    )
  )
  return { take: () => run(taken), newest: () => newest }
})

const textOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error)
