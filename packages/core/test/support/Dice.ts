/**
 * A small generator of whole numbers, so that one seed replays one run on every machine.
 */

export interface Dice {
  /** A whole number from 0 to below `below`. */
  readonly next: (below: number) => number
  readonly chance: (percent: number) => boolean
  readonly pick: <A>(from: ReadonlyArray<A>) => A
}

export const make = (seed: number): Dice => {
  // Neighbouring seeds would otherwise begin alike.
  let state = Math.imul(seed, 2_654_435_761) >>> 0
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return {
    next,
    chance: (percent) => next(100) < percent,
    pick: (from) => from[next(from.length)]!
  }
}

const fixed = process.env["KAFKA_ONCE_SEED"]

/** The seeds of a test: 1 to `count`, or the one that `KAFKA_ONCE_SEED` names. */
export const seeds = (count: number): ReadonlyArray<number> =>
  fixed === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(fixed)]
