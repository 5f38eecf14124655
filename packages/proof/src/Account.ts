/**
 * What a program was told, held against what is in the log: the anomalies of a run, in words.
 *
 * Pure. Every value is unique, so that a record can be found again.
 *
 * @since 0.1.0
 */
import type { Told } from "./Contender.ts"
import * as PartitionLog from "./PartitionLog.ts"

/**
 * One transaction of a program.
 *
 * **Details**
 *
 * *Shape*: `sent` are the values of all its sends, with the offset that the client was told, or
 * `null` where a send was not acknowledged. `mustCommit` is whether nothing stood in its way that
 * a client may not overcome.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transaction {
  readonly mustCommit: boolean
  readonly sent: ReadonlyArray<{ readonly value: string; readonly offset: bigint | null }>
  readonly told: Told
}

/**
 * Every way in which the log and what the program was told disagree; empty where they agree.
 *
 * **Details**
 *
 * *Shape*: lost (committed, and not visible), doubled, visible though aborted, torn (a part is
 * visible), acknowledged at an offset where another record is, and a transaction that had to
 * commit and has not.
 *
 * @category operations
 * @since 0.1.0
 */
export const anomalies = (
  transactions: ReadonlyArray<Transaction>,
  log: PartitionLog.PartitionLog
): ReadonlyArray<string> =>
  transactions.flatMap((transaction) => [
    ...untruths(transaction, log),
    ...wrongOffsets(transaction, log),
    ...failure(transaction, log)
  ])

const countOf = (log: PartitionLog.PartitionLog, value: string): number =>
  PartitionLog.visible(log).filter((record) => PartitionLog.textOf(record) === value).length

const untruths = (
  { sent, told }: Transaction,
  log: PartitionLog.PartitionLog
): ReadonlyArray<string> => {
  const counts = sent.map(({ value }) => ({ value, count: countOf(log, value) }))
  const seen = counts.filter(({ count }) => count > 0)
  const doubled = counts.filter(({ count }) => count > 1).map(({ count, value }) =>
    `"${value}" was sent once and is visible ${count} times`
  )
  if (told._tag === "Committed") {
    const lost = counts.filter(({ count }) => count === 0).map(({ value }) =>
      `"${value}" was committed and is lost: no reader sees it`
    )
    return [...lost, ...doubled]
  }
  const torn = seen.length > 0 && seen.length < counts.length
    ? [`of ${counts.length} records of one transaction ${seen.length} are visible`]
    : []
  const shown = told._tag === "Aborted"
    ? seen.map(({ value }) => `"${value}" was aborted and is visible all the same`)
    : []
  return [...shown, ...torn, ...doubled]
}

/** An acknowledgement that names the place of another record. */
const wrongOffsets = (
  { sent }: Transaction,
  log: PartitionLog.PartitionLog
): ReadonlyArray<string> => {
  const records = PartitionLog.decide(log)
  return sent.flatMap(({ offset, value }) => {
    const record = records.find((record) => record.offset === offset)
    if (offset === null || record === undefined || PartitionLog.textOf(record) === value) return []
    const { decision } = record
    return [
      `"${value}" was acknowledged at offset ${offset}, where the ${decision} record ` +
      `"${PartitionLog.textOf(record)}" is`
    ]
  })
}

const failure = (
  { mustCommit, sent, told }: Transaction,
  log: PartitionLog.PartitionLog
): ReadonlyArray<string> => {
  if (!mustCommit || told._tag === "Committed") return []
  const names = sent.map(({ value }) => `"${value}"`).join(", ")
  const visible = sent.length > 0 && sent.every(({ value }) => countOf(log, value) > 0)
  switch (told._tag) {
    case "Unknown":
      return [
        `the commit of ${names} failed with "${told.why}", and ` +
        (visible ? "it is committed" : "nobody says whether it is committed")
      ]
    case "NotBegun":
      return [`no transaction can be begun any more: "${told.why}"`]
    case "Aborted":
      return [`${names} could not be committed: "${told.why}"`]
  }
}

/**
 * What happened to each transaction where nothing is wrong, in words.
 *
 * @category accessors
 * @since 0.1.0
 */
export const summary = (
  transactions: ReadonlyArray<Transaction>,
  log: PartitionLog.PartitionLog
): string => {
  const visible = PartitionLog.visible(log).map((record) => `"${PartitionLog.textOf(record)}"`)
  const told = transactions.map(({ told }, index) => `${index + 1} ${told._tag.toLowerCase()}`)
  const shown = visible.length === 0 ? "nothing" : visible.join(", ")
  return `transaction ${told.join(", ")}; visible: ${shown}`
}
