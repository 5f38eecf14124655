/** What consumers were given, one read after another: R1-R8. */
import type { Poll } from "../HistoryIndex.ts"
import { keyOf, nameOf, type TransactionHistory } from "../TransactionHistory.ts"
import {
  aborted,
  type Evidence,
  forEachRecord,
  isVisible,
  noSlot,
  type PartitionEvidence,
  transactionOf
} from "./evidence.ts"
import type { Found } from "./finding.ts"

const partitionOf = (
  { partitions }: Evidence,
  { partition, topic }: { readonly partition: number; readonly topic: string }
): PartitionEvidence | undefined =>
  partitions.find(({ state }) => state.topic === topic && state.partition === partition)

const writerOf = ({ history }: Evidence, row: number): TransactionHistory | undefined => {
  const { process, transaction } = history.polled
  const key = keyOf(process[row]!, transaction[row]!)
  return history.transactions[history.byNumber.get(key) ?? -1]
}

const readerOf = ({ history }: Evidence, { event }: Poll): TransactionHistory | undefined =>
  event.transaction < 0
    ? undefined
    : history.transactions[history.byNumber.get(keyOf(event.process, event.transaction)) ?? -1]

const forEachPoll = (evidence: Evidence, use: (poll: Poll, member: string) => void): void => {
  for (const [member, consumptions] of evidence.history.consumptions) {
    for (const consumption of consumptions) {
      if (consumption._tag === "poll") use(consumption, member)
    }
  }
}

/**
 * R1, pre-committed read: a reader under read_committed is given a record before its commit was
 * asked for, or a transaction is given its own.
 */
export const precommittedReads = (evidence: Evidence, found: Found): void =>
  forEachPoll(evidence, (poll, member) => {
    const { event, firstRow, rows } = poll
    const reader = readerOf(evidence, poll)
    for (let row = firstRow; row < firstRow + rows; row++) {
      const writer = writerOf(evidence, row)
      if (writer === undefined || !event.committedOnly) continue
      const early = writer.commitAskedAt === null || writer.commitAskedAt > event.t
      if (!early && writer !== reader) continue
      found({
        what: `${member} was given a record of ${nameOf(writer)} ` +
          (early ? "before its commit was asked for" : "within that transaction itself"),
        transaction: writer,
        partition: partitionOf(evidence, event),
        offset: evidence.history.polled.offset[row]!
      })
    }
  })

/** R2, circular information flow (G1c): a cycle of transactions that each read from the last. */
export const circularFlows = (evidence: Evidence, found: Found): void => {
  const { transactions } = evidence.history
  const readers = new Map<number, Set<number>>()
  forEachPoll(evidence, (poll) => {
    const reader = readerOf(evidence, poll)
    if (reader === undefined || !poll.event.committedOnly) return
    for (let row = poll.firstRow; row < poll.firstRow + poll.rows; row++) {
      const writer = writerOf(evidence, row)
      if (writer === undefined || writer === reader) continue
      const known = readers.get(writer.row)
      if (known === undefined) readers.set(writer.row, new Set([reader.row]))
      else known.add(reader.row)
    }
  })
  for (const cycle of cycles(readers, transactions.length)) {
    found({
      what: `information flows in a circle: ${
        cycle.map((row) => nameOf(transactions[row]!)).join(", ")
      }`,
      transaction: transactions[cycle[0]!]
    })
  }
}

/** The strongly connected components of two or more (Tarjan), without recursion. */
const cycles = (
  edges: ReadonlyMap<number, ReadonlySet<number>>,
  count: number
): ReadonlyArray<ReadonlyArray<number>> => {
  const order = new Int32Array(count).fill(-1)
  const low = new Int32Array(count)
  const onStack = new Uint8Array(count)
  const stack: Array<number> = []
  const found: Array<ReadonlyArray<number>> = []
  let next = 0
  for (const root of edges.keys()) {
    if (order[root] !== -1) continue
    const work = [enter(root)]
    while (work.length > 0) {
      const frame = work.at(-1)!
      const step = frame.left.next()
      if (step.done === true) {
        work.pop()
        const parent = work.at(-1)
        if (parent !== undefined) low[parent.node] = Math.min(low[parent.node]!, low[frame.node]!)
        if (low[frame.node] === order[frame.node]) close(frame.node)
      } else if (order[step.value] === -1) work.push(enter(step.value))
      else if (onStack[step.value] === 1) {
        low[frame.node] = Math.min(low[frame.node]!, order[step.value]!)
      }
    }
  }
  return found
  function enter(node: number) {
    order[node] = low[node] = next++
    onStack[node] = 1
    stack.push(node)
    return { node, left: (edges.get(node) ?? new Set<number>()).values() }
  }
  function close(node: number) {
    const component = stack.splice(stack.lastIndexOf(node))
    for (const member of component) onStack[member] = 0
    if (component.length > 1) found.push(component)
  }
}

/** The first visible record after one offset and before another, or `undefined`. */
const visibleBetween = (
  partition: PartitionEvidence | undefined,
  after: number,
  before: number
): number | undefined => {
  if (partition === undefined || before <= after + 1) return undefined
  const { offset } = partition.state.records
  const { length } = partition.state.records
  const first = partition.state.batches.firstRecord[partition.batchAt(after + 1)] ?? 0
  for (let record = first; record < length && offset[record]! < before; record++) {
    if (offset[record]! <= after) continue
    const batch = partition.batchAt(offset[record]!)
    if (isVisible(partition, batch, record)) return offset[record]!
  }
  return undefined
}

/** Tells the jumps between reads to `use`, within a poll or between two of them. */
const forEachJump = (
  evidence: Evidence,
  use: (jump: {
    readonly member: string
    readonly poll: Poll
    readonly within: boolean
    readonly last: number
    readonly offset: number
  }) => void
): void => {
  for (const [member, consumptions] of evidence.history.consumptions) {
    const last = new Map<string, number>()
    for (const consumption of consumptions) {
      if (consumption._tag === "move") {
        const { event } = consumption
        const places = event._tag === "seek" ? [event] : event.places
        for (const { partition, topic } of places) last.delete(`${topic}-${partition}`)
        continue
      }
      const { event, firstRow, rows } = consumption
      const place = `${event.topic}-${event.partition}`
      for (let row = firstRow; row < firstRow + rows; row++) {
        const offset = evidence.history.polled.offset[row]!
        const before = last.get(place)
        last.set(place, offset)
        if (before === undefined || offset === before + 1) continue
        use({ member, poll: consumption, within: row > firstRow, last: before, offset })
      }
    }
  }
}

const backwards = (evidence: Evidence, found: Found, inside: boolean): void =>
  forEachJump(evidence, ({ last, member, offset, poll, within }) => {
    if (within !== inside || offset > last) return
    found({
      what: `${member} was given ${poll.event.topic}-${poll.event.partition} at ${offset} after ` +
        `${last}${inside ? ", in one poll" : ""}`,
      partition: partitionOf(evidence, poll.event),
      offset
    })
  })

const skips = (evidence: Evidence, found: Found, inside: boolean): void =>
  forEachJump(evidence, ({ last, member, offset, poll, within }) => {
    if (within !== inside || offset <= last || !poll.event.committedOnly) return
    const partition = partitionOf(evidence, poll.event)
    const skipped = visibleBetween(partition, last, offset)
    if (skipped === undefined) return
    found({
      what: `${member} was given ${poll.event.topic}-${poll.event.partition} at ${last} and then ` +
        `at ${offset}${inside ? ", in one poll" : ""}, and never at ${skipped}`,
      partition,
      offset: skipped
    })
  })

/** R3, non-monotonic poll: a consumer goes back, and nothing has moved it. */
export const goingBack = (evidence: Evidence, found: Found): void =>
  backwards(evidence, found, false)

/** R4, poll skip: a consumer leaves a committed record out, and nothing has moved it. */
export const pollSkips = (evidence: Evidence, found: Found): void => skips(evidence, found, false)

/** R5: the same within one poll. */
export const internalJumps = (evidence: Evidence, found: Found): void => {
  backwards(evidence, found, true)
  skips(evidence, found, true)
}

/**
 * R6, violation of the last stable offset: a record at or after it was given, it went back under
 * one leader, or what was given is not in the committed log.
 */
export const unstableReads = (evidence: Evidence, found: Found): void => {
  const last = new Map<string, { readonly stable: number; readonly epoch: number | null }>()
  forEachPoll(evidence, ({ event, firstRow, rows }, member) => {
    if (!event.committedOnly) return
    const partition = partitionOf(evidence, event)
    const place = `${event.topic}-${event.partition}`
    const stable = event.lastStableOffset
    for (let row = firstRow; row < firstRow + rows; row++) {
      const offset = evidence.history.polled.offset[row]!
      if (stable !== null && offset >= stable) {
        const what = `${member} was given ${place} at ${offset}, and the last stable offset was ` +
          `${stable}`
        found({ what, partition, offset })
      }
      if (partition === undefined || offset < partition.state.startOffset) continue
      const record = partition.recordAt(offset)
      if (record >= 0 && isVisible(partition, partition.batchAt(offset), record)) continue
      const what = `${member} was given ${place} at ${offset}, which is not in the committed log`
      found({ what, partition, offset })
    }
    if (stable === null) return
    const before = last.get(`${member} ${place}`)
    last.set(`${member} ${place}`, { stable, epoch: event.leaderEpoch })
    if (before === undefined || before.epoch !== event.leaderEpoch || stable >= before.stable) {
      return
    }
    const what =
      `the last stable offset of ${place} went back from ${before.stable} to ${stable} ` +
      "under one leader"
    found({ what, partition, offset: stable })
  })
}

/** R7, rewind error: after an abort the consumer does not go on where the group's position is. */
export const wrongRewinds = (evidence: Evidence, found: Found): void => {
  const { history, outcomes } = evidence
  for (const transaction of history.transactions) {
    const told = transaction.first?.t
    if (outcomes[transaction.row] !== aborted || told === undefined) continue
    for (const position of transaction.positions) {
      if (position.from < 0) continue
      const next = nextRead(evidence, position, told)
      if (next === undefined) continue
      const partition = partitionOf(evidence, position)
      const expected = visibleBetween(partition, position.from - 1, Number.POSITIVE_INFINITY)
      if (expected === undefined || next === expected) continue
      found({
        what: `after the abort of ${nameOf(transaction)} ${position.member} goes on with ` +
          `${position.topic}-${position.partition} at ${next}, and the position is ${expected}`,
        transaction,
        partition,
        offset: next
      })
    }
  }
}

/**
 * What a member was given first of a partition after a moment, unless the partition had left it.
 */
const nextRead = (
  { history }: Evidence,
  place: { readonly member: string; readonly topic: string; readonly partition: number },
  after: number
): number | undefined => {
  for (const consumption of history.consumptions.get(place.member) ?? []) {
    const { event } = consumption
    if (event.t <= after) continue
    if (consumption._tag === "poll") {
      const isIt = event._tag === "poll" && consumption.event.topic === place.topic &&
        consumption.event.partition === place.partition
      if (isIt && consumption.rows > 0) return history.polled.offset[consumption.firstRow]!
      continue
    }
    if (consumption.event._tag === "seek") continue
    const left = consumption.event.places.some(({ partition, topic }) =>
      partition === place.partition && topic === place.topic
    )
    if (left) return undefined
  }
  return undefined
}

/**
 * R8, unseen: a committed record was not given to a consumer that runs all the time, though there
 * was time after the last fault.
 */
export const unseen = (evidence: Evidence, found: Found): void => {
  const { history, settings } = evidence
  const limit = Math.max(30_000, 3 * settings.transactionTimeoutMillis) * 1e6
  const topics = new Set<string>()
  const given = new Uint8Array(history.slots.length)
  forEachPoll(evidence, ({ event, firstRow, rows }) => {
    if (!event.permanent) return
    topics.add(event.topic)
    for (let row = firstRow; row < firstRow + rows; row++) {
      const writer = writerOf(evidence, row)
      const index = history.polled.index[row]!
      if (writer !== undefined && index < writer.count) given[writer.firstSlot + index] = 1
    }
  })
  const healedAt = Math.max(0, ...history.nemeses.map(({ t }) => t))
  for (const partition of evidence.partitions) {
    if (!topics.has(partition.state.topic)) continue
    forEachRecord(partition, (record, batch) => {
      const slot = partition.slots[record]!
      const offset = partition.state.records.offset[record]!
      if (slot === noSlot || given[slot] === 1 || !isVisible(partition, batch, record)) return
      const transaction = transactionOf(evidence, slot)
      const since = Math.max(healedAt, transaction.first?.t ?? transaction.beganAt)
      if (history.lastAt - since < limit) return
      const what =
        `record ${slot - transaction.firstSlot} of ${nameOf(transaction)} is committed, ` +
        "and the consumer that runs all the time was never given it"
      found({ what, transaction, partition, offset })
    })
  }
}
