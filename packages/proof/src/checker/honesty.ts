/** What the library said, against the truth; and what it left behind: H1-H4. */
import type { Entry } from "@kafka-once/testing/FaultProxyWireLog"
import { sentFlag } from "../HistoryIndex.ts"
import { nameOf, type TransactionHistory } from "../TransactionHistory.ts"
import type { Evidence } from "./evidence.ts"
import type { Found } from "./finding.ts"
import { slackMillis, type Wire } from "./wire.ts"

/**
 * Refusals of a commit that decide it where the commit was sent for the first time: fenced, no such
 * state, no such producer id, not authorised, abortable. On a repetition they prove nothing.
 */
const definiteRefusals: ReadonlySet<number> = new Set([47, 48, 49, 53, 90, 120])

/**
 * Codes that no repetition can overcome: topic, group and cluster not authorised, unsupported
 * version, transactional id not authorised. Fencing is none of them, for its codes are also those
 * of a transaction that timed out.
 */
const fatalCodes: ReadonlySet<number> = new Set([29, 30, 31, 35, 53])

/** H1, dishonest result: what the program was told is not so, or a definite answer was ignored. */
export const dishonesties = (evidence: Evidence, found: Found): void => {
  const { history, visible, wire } = evidence
  for (const transaction of history.transactions) {
    const seen = countVisible(transaction, visible)
    const sent = countSent(transaction, evidence)
    // What was said once counts, also where something else was said later.
    const said = [transaction.first?.outcome, transaction.last?.outcome]
    if (said.includes("Committed") && seen < sent) {
      const what = `the program was told that ${nameOf(transaction)} is committed, and ` +
        `${sent - seen} of its ${sent} records are not visible`
      found({ what, transaction })
    }
    if (said.includes("Aborted") && seen > 0) {
      const what = `the program was told that ${nameOf(transaction)} is aborted, and ${seen} of ` +
        `its records are visible`
      found({ what, transaction })
    }
    if (wire !== null) dishonestToWire(transaction, wire, found)
  }
}

const countVisible = ({ count, firstSlot }: TransactionHistory, visible: Uint8Array): number => {
  let seen = 0
  for (let at = 0; at < count; at++) if (visible[firstSlot + at]! > 0) seen += 1
  return seen
}

const countSent = ({ count, firstSlot }: TransactionHistory, { history }: Evidence): number => {
  let sent = 0
  for (let at = 0; at < count; at++) {
    if ((history.slots.flags[firstSlot + at]! & sentFlag) !== 0) sent += 1
  }
  return sent
}

const dishonestToWire = (transaction: TransactionHistory, wire: Wire, found: Found): void => {
  const { first } = transaction
  if (first === null) return
  if (first.outcome === "Unknown") {
    const [answer] = wire.commitsOf(transaction).flatMap((entry, attempt) =>
      definite(entry, attempt) ? [entry.answer!] : []
    )
    if (answer !== undefined) {
      const what = `the program was told that the outcome of ${nameOf(transaction)} is unknown, ` +
        `and the answer to its commit was ${answer.errorCode}`
      found({ what, transaction })
    }
  }
  if (first.recovery === "retry") {
    const requests = wire.requestsOf(transaction)
    const failed = requests.find(({ answer }) =>
      answer === null || !answer.delivered ||
      (answer.errorCode ?? 0) !== 0
    )
    const code = failed?.answer?.delivered === true ? failed.answer.errorCode : null
    if (code !== null && fatalCodes.has(code)) {
      const what = `the program was told to run ${nameOf(transaction)} again, after ` +
        `${failed?.api} was answered with ${code}, which no repetition overcomes`
      found({ what, transaction })
    }
  }
}

const definite = ({ answer }: Entry, attempt: number): boolean =>
  answer !== null && answer.delivered && answer.errorCode !== null &&
  (answer.errorCode === 0 || (attempt === 0 && definiteRefusals.has(answer.errorCode)))

const healthyNanos = 30e9

/**
 * Whether the program was left to ask for an outcome, and has never learnt it. A pipeline is not:
 * it reads its group's positions again, whatever the outcome is, and what it makes of them is
 * judged by its inputs and copies.
 */
export const isUnresolved = ({ first, last }: TransactionHistory): boolean =>
  first?.recovery === "resolve" && last?.outcome === "Unknown"

/** H2, unresolved unknown: nobody knows the outcome, though nothing was wrong for 30 seconds. */
export const unresolved = ({ history }: Evidence, found: Found): void => {
  const healedAt = Math.max(0, ...history.nemeses.map(({ t }) => t))
  for (const transaction of history.transactions) {
    if (!isUnresolved(transaction)) continue
    const healthy = history.lastAt - Math.max(healedAt, transaction.first?.t ?? 0)
    if (healthy < healthyNanos) continue
    const what = `the outcome of ${nameOf(transaction)} is unknown still, ` +
      `${Math.round(healthy / 1e9)} s after the last fault`
    found({ what, transaction })
  }
}

/**
 * H3, clean-up not awaited: a transaction's scope is closed before the answer to its EndTxn, or to
 * the InitProducerId that fences it, has come.
 */
export const unawaited = ({ history, wire }: Evidence, found: Found): void => {
  if (wire === null) return
  for (const transaction of history.transactions) {
    const { beganAt, closedAt, id, process } = transaction
    if (closedAt === null) continue
    const requests = wire.requestsOf(transaction)
    // What sent nothing has nothing to end.
    if (!requests.some(({ forwardedMillis }) => forwardedMillis !== null)) continue
    const closed = wire.wallMillis(process, closedAt) + slackMillis
    const began = wire.wallMillis(process, beganAt)
    const isInTime = ({ answer }: Entry) => answer !== null && answer.timeMillis <= closed
    const ended = requests.some((entry) => entry.api === "EndTxn" && isInTime(entry)) ||
      wire.of(id).some((entry) =>
        entry.api === "InitProducerId" && entry.answer?.errorCode === 0 && isInTime(entry) &&
        entry.answer.timeMillis > began
      )
    // The library said that it could not be ended yet, and until when the broker will have.
    const told = history.leftOpen.some((left) =>
      left.id === id && left.process === process && left.t >= beganAt && left.t <= closedAt + 1e9
    )
    if (ended || told) continue
    const what = `the scope of ${nameOf(transaction)} was closed before anything had ended it`
    found({ what, transaction })
  }
}

const dataApis: ReadonlySet<string> = new Set([
  "Produce",
  "AddPartitionsToTxn",
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn"
])

/**
 * H4, leak: something is open when a scope has closed; or on the wire there is a request of a
 * transaction after its scope, or of a producer after its own.
 */
export const leftovers = (evidence: Evidence, found: Found): void => {
  const { history, wire } = evidence
  for (const { id, leaked, scope } of history.leaks) {
    found({ what: `when the scope of a ${scope} of "${id}" had closed, ${leaked} were still open` })
  }
  if (wire === null) return
  for (const transaction of history.transactions) {
    if (transaction.closedAt === null) continue
    const closed = wire.wallMillis(transaction.process, transaction.closedAt) + slackMillis
    for (const { api, timeMillis } of wire.requestsOf(transaction)) {
      if (!dataApis.has(api) || timeMillis <= closed) continue
      const what = `${api} of ${nameOf(transaction)} was sent ${Math.round(timeMillis - closed)} ` +
        "ms after its scope had closed"
      found({ what, transaction })
    }
  }
  producersAfterTheirEnd(evidence, wire, found)
}

const producersAfterTheirEnd = ({ history }: Evidence, wire: Wire, found: Found): void => {
  const inits = [...history.sessions.values()]
  for (const { clientId, id, process, t } of history.producersClosed) {
    const closed = wire.wallMillis(process, t) + slackMillis
    const later = inits.filter((init) => init.id === id && init.t > t)
    const until = Math.min(...later.map((init) => wire.wallMillis(init.process, init.t)))
    const entries = clientId === null
      ? wire.of(id)
      : wire.entries.filter((entry) => entry.clientId === clientId)
    for (const { api, timeMillis } of entries) {
      if (timeMillis <= closed || timeMillis >= until) continue
      // Another instance of the id asks these before it has its session.
      if (later.length > 0 && !dataApis.has(api)) continue
      const what = `${api} of producer "${id}" was sent ${Math.round(timeMillis - closed)} ms ` +
        "after its scope had closed"
      found({ what })
    }
  }
}
