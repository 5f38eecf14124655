/**
 * What is known of a partition's next records, after `process` has failed on them.
 *
 * - `Trusted`: nothing is held against them.
 * - `Retrying`: the same records once more, because the retry schedule says so.
 * - `Searching`: the next `suspects` records hold one that keeps failing; half of them is tried.
 * - `Condemned`: the record at `offset` is the one; it goes to the dead-letter topic next.
 *
 * `attempts` counts how often the records at the front have been given to `process`.
 */
export type Suspicion =
  | { readonly _tag: "Trusted" }
  | { readonly _tag: "Retrying"; readonly records: number; readonly attempts: number }
  | { readonly _tag: "Searching"; readonly suspects: number; readonly attempts: number }
  | {
    readonly _tag: "Condemned"
    readonly offset: bigint
    readonly attempts: number
    readonly error: unknown
  }

/**
 * Nothing is held against the next records.
 */
export const trusted: Suspicion = { _tag: "Trusted" }

/**
 * How many records may be tried together.
 */
export const limit = (suspicion: Suspicion): number => {
  switch (suspicion._tag) {
    case "Trusted":
      return Number.POSITIVE_INFINITY
    case "Retrying":
      return suspicion.records
    case "Searching":
      return Math.max(1, suspicion.suspects >> 1)
    case "Condemned":
      return 1
  }
}

/**
 * What follows when so many records, from an offset on, have failed, and nothing of them was
 * committed.
 */
export const failed = (
  suspicion: Suspicion,
  batch: { readonly offset: bigint; readonly records: number; readonly error: unknown },
  mayRetry: boolean
): Suspicion => {
  const { error, offset, records } = batch
  const attempts = attemptsOf(suspicion) + 1
  if (suspicion._tag === "Condemned") return { ...suspicion, attempts }
  if (suspicion._tag !== "Searching" && mayRetry) return { _tag: "Retrying", records, attempts }
  return records === 1
    ? { _tag: "Condemned", offset, attempts, error }
    : { _tag: "Searching", suspects: records, attempts }
}

/**
 * What follows when so many records have been committed.
 */
export const committed = (suspicion: Suspicion, records: number): Suspicion => {
  switch (suspicion._tag) {
    case "Searching": {
      const suspects = suspicion.suspects - records
      // Where none is left, the failure has not come again: it was not a record's.
      return suspects <= 0 ? trusted : { ...suspicion, suspects }
    }
    case "Retrying": {
      const left = suspicion.records - records
      return left <= 0 ? trusted : { ...suspicion, records: left }
    }
    case "Trusted":
    case "Condemned":
      return trusted
  }
}

const attemptsOf = (suspicion: Suspicion): number =>
  suspicion._tag === "Trusted" ? 0 : suspicion.attempts
