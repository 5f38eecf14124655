/** Rules that somebody injects and removes by number, and that end with a scope at the latest. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { FaultProxy, InjectedRule } from "../FaultProxy.ts"
import { FaultProxyError, RuleNeverFired } from "../FaultProxyError.ts"
import type { FaultProxyRule } from "../FaultProxyRule.ts"

export interface HeldRule {
  readonly id: number
  readonly rule: FaultProxyRule
  readonly injected: InjectedRule
  readonly scope: Scope.Closeable
}

export interface HeldRules {
  readonly add: (rule: FaultProxyRule) => Effect.Effect<HeldRule, FaultProxyError>
  readonly all: Effect.Effect<ReadonlyArray<HeldRule>>
  readonly get: (id: number) => HeldRule | undefined
  /** Ends the rule and answers how often it acted; fails if it never did and should have. */
  readonly remove: (held: HeldRule) => Effect.Effect<number, FaultProxyError>
}

export const make = (proxy: FaultProxy): Effect.Effect<HeldRules, never, Scope.Scope> =>
  Effect.map(Effect.scope, (parent) => {
    const rules = new Map<number, HeldRule>()
    let added = 0
    return {
      add: (rule) =>
        Effect.uninterruptible(Effect.gen(function*() {
          const scope = yield* Scope.fork(parent)
          const injected = yield* Scope.provide(proxy.inject(rule), scope)
          const held = { id: ++added, rule, injected, scope }
          rules.set(held.id, held)
          return held
        })),
      all: Effect.sync(() => [...rules.values()]),
      get: (id) => rules.get(id),
      remove: ({ id, injected, rule, scope }) =>
        Effect.uninterruptible(Effect.gen(function*() {
          rules.delete(id)
          // Ended as if its test had failed, so that whether it fired is asked here and once.
          yield* Scope.close(scope, Exit.fail("removed"))
          const hits = yield* injected.hits
          if (hits > 0 || rule.optional === true) return hits
          return yield* neverFired("remove", injected)
        }))
    }
  })

export const neverFired = (
  operation: string,
  { matched, name }: InjectedRule
): Effect.Effect<never, FaultProxyError> =>
  Effect.flatMap(matched, (matched) =>
    Effect.fail(
      new FaultProxyError({ operation, reason: new RuleNeverFired({ rules: [{ matched, name }] }) })
    ))
