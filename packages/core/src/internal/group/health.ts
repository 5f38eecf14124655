/**
 * Tells once that something fails and is being repeated, and once that nothing does any more.
 */
import { SessionEvent } from "../../ConsumerDriver.ts"
import type { DriverError } from "../../DriverError.ts"

/** What may fail by itself: the group's coordinator, the metadata, or one node. */
export type Source = "group" | "metadata" | number

export interface Health {
  readonly failed: (source: Source, error: DriverError) => void
  readonly answered: (source: Source) => void
}

export const make = (tell: (event: SessionEvent) => void): Health => {
  const failing = new Set<Source>()
  return {
    failed: (source, error) => {
      if (failing.size === 0) tell(SessionEvent.Disturbed({ error }))
      failing.add(source)
    },
    answered: (source) => {
      if (failing.delete(source) && failing.size === 0) tell(SessionEvent.Recovered())
    }
  }
}
