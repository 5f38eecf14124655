/**
 * What was measured, as figures, and what it is held against.
 */

/** One figure over all runs; an entry of what `--json` writes. */
export interface Figure {
  readonly work: string
  readonly contender: string
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly runs: number
}

/** A bound for the median of a figure. */
export interface Goal {
  readonly is: "at least" | "at most"
  readonly value: number
}

/** A figure with its goal, where it has one. */
export interface Line {
  readonly figure: Figure
  readonly goal: Goal | null
}

/** Sums up the values of all runs. */
export const make = (
  about: { readonly work: string; readonly contender: string; readonly unit: string },
  values: ReadonlyArray<number>
): Figure => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return {
    work: about.work,
    contender: about.contender,
    unit: about.unit,
    median: (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2,
    min: sorted[0]!,
    max: sorted.at(-1)!,
    runs: sorted.length
  }
}

/** Whether a figure meets its goal. */
export const isMet = ({ median }: Figure, { is, value }: Goal): boolean =>
  is === "at least" ? median >= value : median <= value
