/**
 * What a contender of the pipelines is told to do, and what it says of it: lines of words, which
 * Java reads and writes as easily as Node.
 */

/** One run: so many records from a topic to another, in transactions of about so many. */
export interface Job {
  readonly group: string
  readonly input: string
  readonly output: string
  readonly records: number
  readonly batch: number
}

/**
 * What a run took: from the first records that the program was given to the last commit's answer.
 * `cpuSeconds` are of the contender's process alone; `largestBytes` is the most memory that it has
 * had since it began, -1 where its system does not tell. `transactions` says how large they were.
 */
export interface Done {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly largestBytes: number
  readonly transactions: number
}

/**
 * What a contender that goes on cannot do without: its heap after a collection, and what it has
 * outside of it, as the bytes that were fetched.
 */
export interface Live {
  readonly heapBytes: number
  readonly externalBytes: number
}

/** What a contender says. */
export type Word =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "At"; readonly records: number; readonly residentBytes: number }
  | { readonly _tag: "Live"; readonly live: Live }
  | { readonly _tag: "Done"; readonly done: Done }

/** Writes a job as a line. */
export const toLine = ({ batch, group, input, output, records }: Job): string =>
  [group, input, output, records, batch].join(" ")

/** Reads a job, or answers `null`. */
export const fromLine = (line: string): Job | null => {
  const [group, input, output, records, batch] = line.trim().split(" ")
  if (group === undefined || input === undefined || output === undefined) return null
  const job = { group, input, output, records: Number(records), batch: Number(batch) }
  return Number.isInteger(job.records) && Number.isInteger(job.batch) ? job : null
}

/** Writes what a contender says as a line. */
export const say = (word: Word): string => {
  switch (word._tag) {
    case "Ready":
      return "ready"
    case "At":
      return ["at", word.records, word.residentBytes].join(" ")
    case "Live":
      return ["live", word.live.heapBytes, word.live.externalBytes].join(" ")
    case "Done": {
      const { cpuSeconds, largestBytes, seconds, transactions } = word.done
      return ["done", seconds, cpuSeconds, largestBytes, transactions].join(" ")
    }
  }
}

/** Reads what a contender says; `null` is anything else, as a client's own notice. */
export const hear = (line: string): Word | null => {
  const [first, ...rest] = line.trim().split(" ")
  const numbers = rest.map(Number)
  if (numbers.some((number) => !Number.isFinite(number))) return null
  const [one, two, three, four] = numbers
  if (first === "ready" && numbers.length === 0) return { _tag: "Ready" }
  if (one === undefined || two === undefined) return null
  if (first === "at") return { _tag: "At", records: one, residentBytes: two }
  if (first === "live") return { _tag: "Live", live: { heapBytes: one, externalBytes: two } }
  if (first !== "done" || three === undefined || four === undefined) return null
  return {
    _tag: "Done",
    done: { seconds: one, cpuSeconds: two, largestBytes: three, transactions: four }
  }
}
