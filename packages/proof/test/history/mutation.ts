/** One way to break a world: what it is for, and what it does. */
import type { Anomaly } from "../../src/HistoryChecker.ts"
import type { World } from "./world.ts"

/** `break` tells whether the world had what it needs; if not, it has changed nothing. */
export interface Mutation {
  readonly anomaly: Anomaly
  readonly name: string
  readonly break: (world: World) => boolean
}

export const mutation = (
  anomaly: Anomaly,
  name: string,
  breakIt: (world: World) => boolean
): Mutation => ({ anomaly, name, break: breakIt })
