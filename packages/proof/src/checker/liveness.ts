/** What does not go on, or goes on too hard: V1, V3-V5. */
import type { EventOf } from "../History.ts"
import { nameOf, type TransactionHistory } from "../TransactionHistory.ts"
import type { Evidence } from "./evidence.ts"
import type { Found } from "./finding.ts"
import type { Wire } from "./wire.ts"

/**
 * V1, hanging transaction: the last stable offset is behind the high watermark, a coordinator has a
 * transaction under way, or a leader has one open.
 */
export const hangingTransactions = ({ partitions, state }: Evidence, found: Found): void => {
  for (const partition of partitions) {
    const { highWatermark, lastStableOffset } = partition.state
    if (lastStableOffset >= highWatermark) continue
    found({
      what: `${partition.name}: readers stop at ${lastStableOffset}, and the log ends at ` +
        `${highWatermark}`,
      partition,
      offset: lastStableOffset
    })
  }
  for (const { producerId, state: now, transactionalId } of state.transactions) {
    if (now !== "Ongoing" && !now.startsWith("Prepare")) continue
    found({ what: `the transaction of "${transactionalId}" (producer ${producerId}) is ${now}` })
  }
  for (const { openSince, partition, producerEpoch, producerId, topic } of state.producers) {
    if (openSince === null) continue
    found({
      what: `producer ${producerId} epoch ${producerEpoch} has a transaction open in ` +
        `${topic}-${partition} since offset ${openSince}`,
      partition: partitions.find((at) =>
        at.state.topic === topic && at.state.partition === partition
      ),
      offset: Number(openSince)
    })
  }
}

/** How long after the end of a fault the first commit may come. */
const recoveryMillis = (
  fault: EventOf<"nemesis">["fault"],
  { settings }: Evidence
): number => {
  switch (fault) {
    case "broker":
    case "process":
      return 10_000
    case "connection":
      return 5_000
    case "zombie":
      return settings.transactionTimeoutMillis + 5_000
  }
}

/**
 * V3, slow recovery: the first commit after a fault's end comes too late. Where another fault is on
 * meanwhile, or the work is over before the time is up, nothing is known. It is for programs that
 * do not pause by themselves.
 */
export const slowRecoveries = (evidence: Evidence, found: Found): void => {
  const { history } = evidence
  const commits = history.transactions.flatMap(({ closedAt, ended, last }) =>
    ended === "commit" ? [last?.t ?? closedAt ?? Number.POSITIVE_INFINITY] : []
  ).sort((one, other) => one - other)
  const faults = [...history.nemeses].sort((one, other) => one.t - other.t)
  faults.forEach((stop, position) => {
    if (stop.phase !== "stop") return
    const limit = recoveryMillis(stop.fault, evidence)
    const until = stop.t + limit * 1e6
    const first = commits.find((t) => t >= stop.t)
    if (first !== undefined && first <= until) return
    const undisturbed = faults.slice(position + 1).every(({ phase, t }) =>
      phase === "stop" || t > until
    ) && openFaults(faults.slice(0, position + 1)) === 0
    // No begin is told while the library waits for a broker, so that only later work shows the
    // wish.
    const goesOn = history.transactions.some((transaction) =>
      (transaction.closedAt ?? Number.POSITIVE_INFINITY) >= until &&
      wantsCommit(evidence, transaction)
    )
    if (!undisturbed || !goesOn || history.lastAt < until) return
    const after = first === undefined
      ? "never"
      : `${Math.round((first - stop.t) / 1e6)} ms after it`
    found({
      what: `${stop.what} (${stop.fault}) ended, and the first commit came ${after}; ${limit} ms ` +
        "are allowed"
    })
  })
}

/** Whether a transaction would have committed if nothing had been in its way. */
const wantsCommit = (
  { history }: Evidence,
  { commitAskedAt, first, process }: TransactionHistory
): boolean =>
  !history.killed.has(process) &&
  (commitAskedAt !== null || first === null || first.recovery === "retry")

const openFaults = (faults: ReadonlyArray<EventOf<"nemesis">>): number => {
  const open = new Set<string>()
  for (const { phase, target, what } of faults) {
    if (phase === "start") open.add(`${what}/${target}`)
    else open.delete(`${what}/${target}`)
  }
  return open.size
}

/**
 * V4, never settles: something was asked for and never answered, and its process was not killed.
 */
export const unsettled = ({ history }: Evidence, found: Found): void => {
  const { operations } = history
  for (let row = 0; row < operations.length; row++) {
    if (operations.endedAt[row]! >= 0) continue
    const transaction = history.transactions[operations.transaction[row]!]!
    if (history.killed.has(transaction.process)) continue
    found({ what: `an operation of ${nameOf(transaction)} was never answered`, transaction })
  }
  for (const transaction of history.transactions) {
    if (history.killed.has(transaction.process)) continue
    if (transaction.openEnd) {
      found({ what: `the end of ${nameOf(transaction)} was never answered`, transaction })
    } else if (transaction.first === null) {
      found({ what: `what became of ${nameOf(transaction)} was never told`, transaction })
    }
  }
}

const attempts = 3

/**
 * CONCURRENT_TRANSACTIONS: markers are still being written, which takes a few milliseconds and has
 * a pause of its own: five repetitions soon, then one each 20 ms, and as much again for the timers.
 */
const concurrentTransactions = 51
const soonest = 10
const waitingPauseMillis = 15

const connectionsPerSecondMax = 5

/**
 * V5, retry storm: more requests than three for each operation and one for each pause since; or
 * more than five new connections within a second of refused credentials.
 */
export const retryStorms = (evidence: Evidence, found: Found): void => {
  const { history, settings, wire } = evidence
  if (wire === null) return
  const allowed = new Float64Array(history.transactions.length)
  const { operations } = history
  for (let row = 0; row < operations.length; row++) {
    const transaction = history.transactions[operations.transaction[row]!]!
    const at = operations.at[row]!
    const ended = operations.endedAt[row]! < 0 ? history.lastAt : operations.endedAt[row]!
    // To each partition goes a request of its own, and one registers it.
    allowed[transaction.row]! += attempts * Math.max(1, operations.partitions[row]!) +
      (ended - at) / 1e6 / settings.backoffMinMillis
  }
  for (const transaction of history.transactions) {
    const requests = wire.requestsOf(transaction)
    const waiting = requests.filter(({ answer }) => answer?.errorCode === concurrentTransactions)
    const millis = ((transaction.closedAt ?? history.lastAt) - transaction.beganAt) / 1e6
    const limit = allowed[transaction.row]! + attempts + millis / settings.backoffMinMillis
    const waitingLimit = soonest + millis / waitingPauseMillis
    const count = requests.length - waiting.length
    if (count <= limit && waiting.length <= waitingLimit) continue
    found({
      what: `${nameOf(transaction)} made ${count} requests, where ${Math.floor(limit)} are enough` +
        `, and ${waiting.length} to a coordinator that was still writing markers, where ` +
        `${Math.floor(waitingLimit)} are`,
      transaction
    })
  }
  connectionStorms(evidence, wire, found)
}

const connectionStorms = ({ history }: Evidence, wire: Wire, found: Found): void => {
  const refusals = history.failedInits.filter(({ error }) => error === "AuthenticationFailed")
  if (refusals.length === 0) return
  const firsts = new Map<number, number>()
  for (const { connection, timeMillis } of wire.entries) {
    if (!firsts.has(connection)) firsts.set(connection, timeMillis)
  }
  const opened = [...firsts.values()].sort((one, other) => one - other)
  for (const { id, process, t } of refusals) {
    const from = wire.wallMillis(process, t)
    const after = opened.filter((time) => time >= from && time < from + 1000).length
    if (after <= connectionsPerSecondMax) continue
    found({
      what: `${after} connections were opened within a second after the credentials of "${id}" ` +
        "were refused"
    })
  }
}
