/**
 * What a soak has to tell besides its anomalies.
 */
import { isUnresolved } from "../checker/honesty.ts"
import type { Report } from "../HistoryChecker.ts"
import type { HistoryIndex } from "../HistoryIndex.ts"

/** How often each fault was carried out. */
export interface Tally {
  readonly outages: Map<string, number>
  readonly wire: Map<string, number>
  /** How often a member of the pipeline ended by itself, and was started again. */
  restarts: number
}

export const tally = (): Tally => ({ outages: new Map(), wire: new Map(), restarts: 0 })

export const count = (counts: Map<string, number>, what: string): void => {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

export interface Figures {
  /** From the first transaction to the last. */
  readonly seconds: number
  /** Visible records of the writers; the pipeline's come on top of them. */
  readonly recordsPerSecond: number
  /** Visible records that the pipeline wrote, and how often a member of it had to be restarted. */
  readonly copied: number
  readonly copiedPerSecond: number
  readonly restarts: number
  readonly transactionsPerSecond: number
  /** Outcomes that a program was not told at first, and how many of them it never learnt. */
  readonly unknown: number
  readonly unknownRate: number
  readonly unresolved: number
  /** The longest time in which nothing committed. */
  readonly longestPauseMillis: number
  readonly outages: Readonly<Record<string, number>>
  readonly wire: Readonly<Record<string, number>>
  /** For each outage, the longest time from its end to the first commit. */
  readonly worstRecoveryMillis: Readonly<Record<string, number>>
}

export const of = (
  history: HistoryIndex,
  report: Report,
  { outages, restarts, wire }: Tally
): Figures => {
  // Of some that the log has committed no program was told: it was killed before.
  const commits = history.transactions
    .filter(({ ended }) => ended === "commit")
    .map(({ closedAt, last }) => last?.t ?? closedAt)
    .filter((t) => t !== null)
    .sort((one, other) => one - other)
  const began = history.transactions.reduce(
    (least, { beganAt }) => Math.min(least, beganAt),
    Infinity
  )
  const seconds = ((commits.at(-1) ?? began) - began) / 1e9
  const told = history.transactions.filter(({ first }) => first !== null)
  const unknown = told.filter(({ first }) => first?.outcome === "Unknown")
  const worst = new Map<string, number>()
  for (const { phase, t, what } of history.nemeses) {
    if (phase !== "stop") continue
    const next = commits[firstAfter(commits, t)]
    if (next === undefined) continue
    worst.set(what, Math.max(worst.get(what) ?? 0, Math.round((next - t) / 1e6)))
  }
  return {
    seconds: Math.round(seconds),
    recordsPerSecond: Math.round((report.records.visible - report.records.copied) / seconds),
    copied: report.records.copied,
    copiedPerSecond: Math.round(report.records.copied / seconds),
    restarts,
    transactionsPerSecond: Math.round(told.length / seconds),
    unknown: unknown.length,
    unknownRate: told.length === 0 ? 0 : unknown.length / told.length,
    unresolved: unknown.filter(isUnresolved).length,
    longestPauseMillis: Math.round(
      commits.slice(1).reduce((most, t, at) => Math.max(most, t - commits[at]!), 0) / 1e6
    ),
    outages: Object.fromEntries(sorted(outages)),
    wire: Object.fromEntries(sorted(wire)),
    worstRecoveryMillis: Object.fromEntries(sorted(worst))
  }
}

const sorted = (counts: ReadonlyMap<string, number>) =>
  [...counts].sort(([one], [other]) => one < other ? -1 : 1)

const firstAfter = (times: ReadonlyArray<number>, t: number): number => {
  let [from, to] = [0, times.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if (times[middle]! < t) from = middle + 1
    else to = middle
  }
  return from
}
