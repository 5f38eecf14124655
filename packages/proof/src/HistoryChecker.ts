/**
 * Holds what programs were told against what is in the logs, and names every anomaly.
 *
 * A run records a history per process (`HistoryRecorder`), every record carries a stamp
 * (`RecordStamp`), and when everything is healed and has ended the final state is read from the
 * brokers (`FinalState`), and the wire log from the fault proxy where there is one. The check is a
 * pure function of the three.
 *
 * **Example** (A run is checked)
 *
 * ```ts
 * import * as FinalState from "@kafka-once/proof/FinalState"
 * import * as HistoryChecker from "@kafka-once/proof/HistoryChecker"
 * import * as HistoryIndex from "@kafka-once/proof/HistoryIndex"
 * import * as Effect from "effect/Effect"
 *
 * export const verdict = Effect.gen(function*() {
 *   const at = { bootstrapServers: ["localhost:9092"] }
 *   const history = yield* HistoryIndex.read(["history-1.jsonl", "history-2.jsonl"])
 *   const state = yield* FinalState.read(at, { run: 7, topics: ["orders"] })
 *   const report = HistoryChecker.check(history, state)
 *   return report.clean ? "clean" : HistoryChecker.render(report)
 * })
 * ```
 *
 * The anomalies:
 *
 * | | of | checked |
 * | --- | --- | --- |
 * | S1-S13 | the log: lost, aborted, torn, double, misplaced, reordered, foreign, unfenced | always |
 * | V1, V3, V4 | what hangs, recovers late, is never answered | always |
 * | V5, H3, and parts of S12, H1, H4 | requests | with the wire log |
 * | H1, H2, H4 | what the program was told, and what was left behind | always |
 * | E1, E4, E5, E6 | groups and their inputs | where the history has them |
 * | E2, E3 | inputs against outputs | with `pipeline` |
 * | R1-R8 | what consumers were given | where the history has polls |
 *
 * V2 (progress during a fault) and H5 (secrets in artefacts) are not of this kind: the one is for
 * whoever makes the faults, the other for whoever keeps the files.
 *
 * @since 0.1.0
 */
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import { allowed as allowedCases } from "./checker/allowed.ts"
import { type Evidence, makeEvidence, type Settings } from "./checker/evidence.ts"
import { blockAround, type Found, type Offence } from "./checker/finding.ts"
import * as Honesty from "./checker/honesty.ts"
import * as Liveness from "./checker/liveness.ts"
import * as Offsets from "./checker/offsets.ts"
import * as Placement from "./checker/placement.ts"
import * as ProducerLog from "./checker/producerLog.ts"
import * as Reading from "./checker/reading.ts"
import * as Visibility from "./checker/visibility.ts"
import type { FinalState } from "./FinalState.ts"
import type { HistoryIndex } from "./HistoryIndex.ts"

const checks = {
  S1: ["lost write", Visibility.lostWrites],
  S2: ["aborted read", Visibility.abortedReads],
  S3: ["torn transaction", Visibility.tornTransactions],
  S4: ["torn offsets", Offsets.tornOffsets],
  S5: ["duplicate", Visibility.duplicates],
  S6: ["inconsistent offset", Placement.inconsistentOffsets],
  S7: ["false acknowledgement", Placement.falseAcks],
  S8: ["cross-transaction leak", ProducerLog.leaks],
  S9: ["reorder", Placement.reorders],
  S10: ["foreign or corrupt value", Visibility.strangers],
  S11: ["sequence gap or reuse", ProducerLog.sequenceBreaks],
  S12: ["fencing violation", ProducerLog.fencingViolations],
  S13: ["double decision", ProducerLog.doubleDecisions],
  R1: ["pre-committed read", Reading.precommittedReads],
  R2: ["circular information flow", Reading.circularFlows],
  R3: ["non-monotonic poll", Reading.goingBack],
  R4: ["poll skip", Reading.pollSkips],
  R5: ["jump within a poll", Reading.internalJumps],
  R6: ["violation of the last stable offset", Reading.unstableReads],
  R7: ["rewind error", Reading.wrongRewinds],
  R8: ["unseen", Reading.unseen],
  E1: ["input processed twice", Offsets.processedTwice],
  E2: ["input skipped", Offsets.skippedInputs],
  E3: ["outputs ahead of offsets", Offsets.outputsAhead],
  E4: ["offset regression", Offsets.regressions],
  E5: ["zombie commit", Offsets.zombieCommits],
  E6: ["aggregate drift", Offsets.aggregateDrifts],
  V1: ["hanging transaction", Liveness.hangingTransactions],
  V3: ["slow recovery", Liveness.slowRecoveries],
  V4: ["never settles", Liveness.unsettled],
  V5: ["retry storm", Liveness.retryStorms],
  H1: ["dishonest result", Honesty.dishonesties],
  H2: ["unresolved unknown", Honesty.unresolved],
  H3: ["clean-up not awaited", Honesty.unawaited],
  H4: ["leak", Honesty.leftovers]
} as const satisfies Record<string, readonly [string, (evidence: Evidence, found: Found) => void]>

/**
 * The number of an anomaly. `history` is none: the history itself makes no sense.
 *
 * @category models
 * @since 0.1.0
 */
export type Anomaly = keyof typeof checks | "history"

/**
 * Every anomaly with its name.
 *
 * @category models
 * @since 0.1.0
 */
export const anomalies: Readonly<Record<Anomaly, string>> = {
  ...Object.fromEntries(Object.entries(checks).map(([id, [name]]) => [id, name])) as Record<
    keyof typeof checks,
    string
  >,
  history: "the history makes no sense"
}

/**
 * What looks like an anomaly and is none, each with the reason.
 *
 * @category models
 * @since 0.1.0
 */
export const allowed: ReadonlyArray<{ readonly what: string; readonly reason: string }> =
  allowedCases

/**
 * One offence.
 *
 * **Details**
 *
 * *Shape*: `block` are the lines of the log around it, where it has a place in one: offset,
 * producer id, epoch, sequence, transaction and record, and the markers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly anomaly: Anomaly
  readonly what: string
  readonly transaction: { readonly process: number; readonly number: number } | null
  readonly topic: string | null
  readonly partition: number | null
  readonly offset: number | null
  readonly block: string | null
}

/**
 * What a check has found.
 *
 * **Details**
 *
 * *Shape*: `counts` has every anomaly, most with 0. `findings` are the first ten of each.
 * `transactions` and `records` say how much was looked at, so that a clean report of nothing can be
 * told from one of something; `copied` are the visible ones of transactions that committed
 * positions of a group, as a pipeline's do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly clean: boolean
  readonly counts: Readonly<Record<Anomaly, number>>
  readonly findings: ReadonlyArray<Finding>
  readonly transactions: {
    readonly committed: number
    readonly aborted: number
    readonly unknown: number
  }
  readonly records: {
    readonly inLog: number
    readonly visible: number
    readonly copied: number
  }
}

/**
 * How to check.
 *
 * **Details**
 *
 * *Shape*: `wire` is the log of the proxy through which all of the run's producers went, with
 * nothing left out (see `WireLog.omitted`). `pipeline` names the group that reads a topic and what
 * it writes to.
 *
 * *Units and bounds*: `backoffMinMillis` is the shortest pause of the clients between two attempts,
 * 50 by default; `transactionTimeoutMillis` is 15,000 by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Partial<Settings> {
  readonly wire?: ReadonlyArray<FaultProxyWireLog.Entry> | undefined
}

const shownMax = 10

/**
 * Checks a run. Pure.
 *
 * **Gotchas**
 *
 * The topics must hold records of stamped runs alone: whatever else is in them is S10.
 *
 * @category operations
 * @since 0.1.0
 */
export const check = (history: HistoryIndex, state: FinalState, options: Options = {}): Report => {
  const settings: Settings = {
    backoffMinMillis: options.backoffMinMillis ?? 50,
    transactionTimeoutMillis: options.transactionTimeoutMillis ?? 15_000,
    pipeline: options.pipeline ?? null
  }
  const evidence = makeEvidence(history, state, settings, options.wire ?? null)
  const counts: Record<string, number> = { history: history.problems.length }
  const findings = history.problems.slice(0, shownMax).map((what) => findingOf("history", { what }))
  for (const [anomaly, [, find]] of Object.entries(checks)) {
    let count = 0
    find(evidence, (offence) => {
      count += 1
      if (count <= shownMax) findings.push(findingOf(anomaly as Anomaly, offence))
    })
    counts[anomaly] = count
  }
  return {
    clean: findings.length === 0,
    counts: counts as Record<Anomaly, number>,
    findings,
    transactions: countOutcomes(evidence),
    records: {
      inLog: state.partitions.reduce((sum, { records }) => sum + records.length, 0),
      visible: evidence.visible.reduce((sum, times) => sum + times, 0),
      copied: evidence.visible.reduce(
        (sum, times, slot) => sum + (isCopy(history, slot) ? times : 0),
        0
      )
    }
  }
}

const isCopy = ({ slots, transactions }: HistoryIndex, slot: number): boolean =>
  transactions[slots.transaction[slot]!]!.positions.length > 0

const findingOf = (
  anomaly: Anomaly,
  { offset, partition, transaction, what }: Offence
): Finding => ({
  anomaly,
  what,
  transaction: transaction === undefined
    ? null
    : { process: transaction.process, number: transaction.number },
  topic: partition?.state.topic ?? null,
  partition: partition?.state.partition ?? null,
  offset: offset ?? null,
  block: partition === undefined || offset === undefined ? null : blockAround(partition, offset)
})

const countOutcomes = ({ outcomes }: Evidence): Report["transactions"] => {
  const counts = [0, 0, 0]
  for (const outcome of outcomes) counts[outcome]! += 1
  return { unknown: counts[0]!, committed: counts[1]!, aborted: counts[2]! }
}

/**
 * A report for people: what was looked at, the counts, and the first offence of each anomaly with
 * its block.
 *
 * @category operations
 * @since 0.1.0
 */
export const render = ({ clean, counts, findings, records, transactions }: Report): string => {
  const seen =
    `${transactions.committed} transactions committed, ${transactions.aborted} aborted, ` +
    `${transactions.unknown} unknown; ${records.inLog} records in the logs, ${records.visible} ` +
    "visible"
  if (clean) return `no anomaly: ${seen}`
  const lines = [seen]
  for (const [anomaly, count] of Object.entries(counts)) {
    if (count === 0) continue
    const first = findings.find((finding) => finding.anomaly === anomaly)
    lines.push("", `${anomaly}, ${anomalies[anomaly as Anomaly]}: ${count}`, `  ${first?.what}`)
    if (first?.block != null) lines.push(first.block.replace(/^/gm, "    "))
  }
  return lines.join("\n")
}
