/**
 * What a program was told of its transactions, held against what a reader sees: pure. Every value
 * is sent once.
 */
import * as PartitionLog from "../PartitionLog.ts"

/**
 * A transaction: all that it would have sent, and what its program knows. `untold` is one whose
 * program died, or was interrupted, before it knew.
 */
export interface Written {
  readonly values: ReadonlyArray<string>
  readonly told: "committed" | "aborted" | "untold"
}

/** Every way in which the two disagree, in words; empty where they agree. */
export const contradictions = (
  written: ReadonlyArray<Written>,
  logs: ReadonlyArray<PartitionLog.PartitionLog>
): ReadonlyArray<string> => {
  const times = new Map<string, number>()
  for (const record of logs.flatMap(PartitionLog.visible)) {
    const value = PartitionLog.textOf(record)
    times.set(value, (times.get(value) ?? 0) + 1)
  }
  const known = new Set(written.flatMap(({ values }) => values))
  const strangers = [...times.keys()].filter((value) => !known.has(value))
  return [
    ...strangers.map((value) => `"${value}" is visible, and nobody sent it`),
    ...written.flatMap((one) => complaints(one, times))
  ]
}

const complaints = (
  { told, values }: Written,
  times: ReadonlyMap<string, number>
): ReadonlyArray<string> => {
  const seen = values.filter((value) => times.has(value))
  const doubled = values.filter((value) => (times.get(value) ?? 0) > 1)
  const part = `${seen.length} of ${values.length} of "${values.join(", ")}" are visible`
  return [
    ...doubled.map((value) => `"${value}" is visible ${times.get(value)} times`),
    ...(told === "committed" && seen.length < values.length
      ? [`committed, and lost: ${part}`]
      : []),
    ...(told === "aborted" && seen.length > 0 ? [`aborted, and visible: ${part}`] : []),
    ...(told === "untold" && seen.length > 0 && seen.length < values.length
      ? [`torn: ${part}`]
      : [])
  ]
}
