/**
 * Vitest's global setup for `SharedKafka`: name this module in `test.globalSetup`.
 *
 * Several projects of one run may name it; they share the broker of the first.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as SharedKafka from "./SharedKafka.ts"

/**
 * Called by vitest before the first worker starts; answers with what it calls at the end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const setup = (): Promise<() => Promise<void>> => {
  const scope = Scope.makeUnsafe()
  const close = (exit: Exit.Exit<unknown, unknown>) => Effect.runPromise(Scope.close(scope, exit))
  return Effect.runPromise(
    Scope.provide(SharedKafka.provideToRun, scope).pipe(
      Effect.onError(() => Scope.close(scope, Exit.void)),
      Effect.as(() => close(Exit.void))
    )
  )
}
