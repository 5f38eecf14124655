/**
 * What a contender of the producers is told to do, and what it says of it: lines of words, which
 * Java reads and writes as easily as Node.
 */

/** One run: transactions back to back, by one producer or by several at once. */
export interface Job {
  readonly topic: string
  /** What the transactional ids begin with; the producers of a prefix are kept for the next run. */
  readonly prefix: string
  /** How many producers work at once, each with a transactional id of its own. */
  readonly producers: number
  /** How many transactional ids each producer uses in turn. */
  readonly lanes: number
  /** How many transactions each producer commits. */
  readonly transactions: number
  /** How many records each transaction has. */
  readonly records: number
  /** All records of a transaction in one call, or each in one of its own, at the same time. */
  readonly calls: "one" | "each"
}

/**
 * What a run took, from the first begin to the last commit's answer. `cpuSeconds` are of the
 * contender's process alone; `residentBytes` is its memory at the end of the run, and
 * `largestBytes` the most that it has had since it began, -1 where its system does not tell.
 */
export interface Done {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of the time that a transaction took. */
  readonly medianMillis: number
  readonly ninetiethMillis: number
  readonly residentBytes: number
  readonly largestBytes: number
}

/** How many records a run commits. */
export const recordsOf = ({ producers, records, transactions }: Job): number =>
  producers * transactions * records

/** Writes a job as a line. */
export const toLine = (job: Job): string =>
  [
    "run",
    job.topic,
    job.prefix,
    job.producers,
    job.lanes,
    job.transactions,
    job.records,
    job.calls
  ].join(" ")

/** Reads a job, or answers `null`. */
export const fromLine = (line: string): Job | null => {
  const [run, topic, prefix, ...rest] = line.trim().split(" ")
  const [producers = 0, lanes = 0, transactions = 0, records = 0] = rest.slice(0, 4).map(Number)
  const calls = rest[4]
  if (run !== "run" || topic === undefined || prefix === undefined) return null
  if (calls !== "one" && calls !== "each") return null
  const job = { topic, prefix, producers, lanes, transactions, records, calls } as const
  return [producers, lanes, transactions, records].every((number) => number >= 1) ? job : null
}

const fields = [
  "seconds",
  "cpuSeconds",
  "medianMillis",
  "ninetiethMillis",
  "residentBytes",
  "largestBytes"
] as const

/** Writes what a run took as a line. */
export const say = (done: Done): string => ["done", ...fields.map((field) => done[field])].join(" ")

/** Reads what a run took; `null` is any other line, as a client's own notice. */
export const hear = (line: string): Done | null => {
  const [done, ...rest] = line.trim().split(" ")
  const numbers = rest.map(Number)
  if (done !== "done" || numbers.length !== fields.length) return null
  if (!numbers.every(Number.isFinite)) return null
  const [seconds, cpuSeconds, medianMillis, ninetiethMillis, residentBytes, largestBytes] =
    numbers as [number, number, number, number, number, number]
  return { seconds, cpuSeconds, medianMillis, ninetiethMillis, residentBytes, largestBytes }
}

/** The value below or at which a part of all values lie. */
export const quantile = (values: ReadonlyArray<number>, part: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN
}
