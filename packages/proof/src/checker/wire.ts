/** The wire log, by transactional id, in the time of the histories. */
import type { Entry } from "@kafka-once/testing/FaultProxyWireLog"
import type { EventOf } from "../History.ts"
import type { HistoryIndex } from "../HistoryIndex.ts"
import { keyOf, type TransactionHistory } from "../TransactionHistory.ts"

/** What two clocks of one machine may differ by: the wall clock is read to the millisecond. */
export const slackMillis = 5

export interface Wire {
  readonly entries: ReadonlyArray<Entry>
  /** The requests of a transactional id, in order. */
  readonly of: (transactionalId: string) => ReadonlyArray<Entry>
  /** A moment of a process's history, in milliseconds since 1970. */
  readonly wallMillis: (process: number, t: number) => number
  /** The requests of a transaction's own session from the one before to the next one. */
  readonly requestsOf: (transaction: TransactionHistory) => ReadonlyArray<Entry>
  /** Those of them that ask for its commit. */
  readonly commitsOf: (transaction: TransactionHistory) => ReadonlyArray<Entry>
}

const none: ReadonlyArray<Entry> = []

export const makeWire = (history: HistoryIndex, entries: ReadonlyArray<Entry>): Wire => {
  const byId = new Map<string, Array<Entry>>()
  for (const entry of entries) {
    if (entry.transactionalId === null) continue
    const known = byId.get(entry.transactionalId)
    if (known === undefined) byId.set(entry.transactionalId, [entry])
    else known.push(entry)
  }
  const wallMillis = (process: number, t: number): number => {
    const open = history.opens.get(process)
    return open === undefined ? Number.NaN : open.wallMillis + (t - open.t) / 1e6
  }
  const isOfSession = sessionsOf(history)
  const borders = bordersOf(history, wallMillis)
  const of = (id: string): ReadonlyArray<Entry> => byId.get(id) ?? none
  const requestsOf = (transaction: TransactionHistory): ReadonlyArray<Entry> => {
    const session = history.sessions.get(keyOf(transaction.process, transaction.session))
    const own = of(transaction.id)
    const from = borders.from[transaction.row]!
    const to = borders.to[transaction.row]!
    const found: Array<Entry> = []
    for (let at = firstFrom(own, from); at < own.length; at++) {
      const entry = own[at]!
      if (entry.timeMillis >= to) break
      if (isOfSession(entry, session)) found.push(entry)
    }
    return found
  }
  return {
    entries,
    of,
    wallMillis,
    requestsOf,
    commitsOf: (transaction) =>
      requestsOf(transaction).filter(({ api, commit }) => api === "EndTxn" && commit === true)
  }
}

/**
 * Tells the requests of a session by its producer id and epoch; those of later epochs, too, as long
 * as no other session has them, for EndTxn of version 5 hands out a new epoch each time.
 */
const sessionsOf = ({ sessions }: HistoryIndex) => {
  const epochs = new Map<number, Array<number>>()
  for (const { epoch, producerId } of sessions.values()) {
    epochs.set(producerId, [...epochs.get(producerId) ?? [], epoch])
  }
  return (entry: Entry, session: EventOf<"init.ok"> | undefined): boolean => {
    const { producerEpoch, producerId } = entry
    if (producerId === null || producerEpoch === null) return false
    // A client that does not tell its producer id: its transactional id and the time must do.
    if (session === undefined || session.producerId < 0) return producerId >= 0n
    if (Number(producerId) !== session.producerId || producerEpoch < session.epoch) return false
    return !epochs.get(session.producerId)!.some((epoch) =>
      epoch > session.epoch && epoch <= producerEpoch
    )
  }
}

const firstFrom = (entries: ReadonlyArray<Entry>, from: number): number => {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.timeMillis < from) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Per transaction: from when to when the requests of its session are its own. The last one's end
 * and its begin may be a hair apart, and clocks too, so that the middle between the two is the
 * border.
 */
const bordersOf = ({ transactions }: HistoryIndex, wallMillis: Wire["wallMillis"]) => {
  const from = new Float64Array(transactions.length).fill(Number.NEGATIVE_INFINITY)
  const to = new Float64Array(transactions.length).fill(Number.POSITIVE_INFINITY)
  const last = new Map<number, TransactionHistory>()
  for (const transaction of transactions) {
    const { beganAt, process, row, session } = transaction
    const key = keyOf(process, session)
    const before = last.get(key)
    last.set(key, transaction)
    if (before === undefined) continue
    const ended = before.closedAt ?? before.first?.t ?? beganAt
    from[row] = to[before.row] = wallMillis(process, (ended + beganAt) / 2)
  }
  return { from, to }
}
