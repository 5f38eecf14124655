/**
 * Waiting until something holds of state that others change.
 */
import * as Effect from "effect/Effect"

export interface Signal {
  /** Says that the state has changed. */
  readonly changed: () => void
  /**
   * Waits until `look` answers anything but `undefined`. It looks in the same step in which the
   * answer is given, so nobody else sees the same state, and an interrupted wait has taken nothing.
   */
  readonly until: <A>(look: () => A | undefined) => Effect.Effect<A>
}

export const make = (): Signal => {
  const waiting = new Set<() => void>()
  return {
    changed: () => {
      // Those that wait on are added again, and one may be served while another is being woken.
      const woken = Array.from(waiting)
      for (const wake of woken) {
        if (waiting.has(wake)) wake()
      }
    },
    until: (look) =>
      Effect.callback((resume) => {
        const wake = (): void => {
          // Whoever looks may change the state itself, and must not be woken by that.
          waiting.delete(wake)
          const found = look()
          if (found === undefined) waiting.add(wake)
          else resume(Effect.succeed(found))
        }
        wake()
        return Effect.sync(() => waiting.delete(wake))
      })
  }
}
