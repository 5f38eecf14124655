/**
 * Histories as the checker wants them: one row per transaction, one slot per record that may exist,
 * and everything of which there are millions in columns.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Columns from "./checker/columns.ts"
import type { Event, EventOf } from "./History.ts"
import * as HistoryFile from "./HistoryFile.ts"
import { keyOf, nameOf, type TransactionHistory } from "./TransactionHistory.ts"

/** A position of a consumer that moved by other means than reading. */
type Move = EventOf<"assign"> | EventOf<"revoke"> | EventOf<"lost"> | EventOf<"seek">

/**
 * What happened to a consumer, in order: it was given records, or its position moved.
 *
 * @category models
 * @since 0.1.0
 */
export type Consumption = Poll | { readonly _tag: "move"; readonly event: Move }

/**
 * Records that a consumer was given: the rows of `polled` from `firstRow` on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Poll {
  readonly _tag: "poll"
  readonly event: Omit<EventOf<"poll">, "offsets" | "stamps">
  readonly firstRow: number
  readonly rows: number
}

/**
 * The histories of a run.
 *
 * **Details**
 *
 * *Shape*
 * - `slots`: one row per record of each transaction, sent or not. `flags` has bit 1 for sent and
 *   bit 2 for acknowledged at `ackPlace` (an index of `places`) and `ackOffset`.
 * - `operations`: sends and offset commits, `endedAt` is -1 for those without an end.
 * - `problems`: what makes no sense in the histories themselves, for example two transactions of
 *   one number: a broken recorder, not a broken client.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryIndex {
  readonly transactions: Array<TransactionHistory>
  readonly byNumber: Map<number, number>
  readonly slots: Columns.Table<"transaction" | "flags" | "ackPlace" | "ackOffset">
  readonly operations: Columns.Table<"transaction" | "at" | "endedAt" | "partitions">
  readonly polled: Columns.Table<"offset" | "process" | "transaction" | "index">
  readonly consumptions: Map<string, Array<Consumption>>
  readonly places: Array<{ readonly topic: string; readonly partition: number }>
  readonly placeNumbers: Map<string, number>
  readonly sessions: Map<number, EventOf<"init.ok">>
  readonly opens: Map<number, EventOf<"open">>
  readonly killed: Map<number, number>
  readonly failedInits: Array<EventOf<"init.fail">>
  readonly nemeses: Array<EventOf<"nemesis">>
  readonly groupOffsets: Array<EventOf<"group.offset">>
  readonly leftOpen: Array<EventOf<"left.open">>
  readonly producersClosed: Array<EventOf<"scope.closed">>
  readonly leaks: Array<EventOf<"scope.closed">>
  readonly problems: Array<string>
  lastAt: number
}

/**
 * Bits of a slot's `flags`.
 *
 * @category models
 * @since 0.1.0
 */
export const sentFlag = 1

/**
 * Bits of a slot's `flags`.
 *
 * @category models
 * @since 0.1.0
 */
export const acknowledgedFlag = 2

const make = (): HistoryIndex => ({
  transactions: [],
  byNumber: new Map(),
  slots: Columns.table({
    transaction: Uint32Array,
    flags: Uint8Array,
    ackPlace: Uint16Array,
    ackOffset: Float64Array
  }),
  operations: Columns.table({
    transaction: Uint32Array,
    at: Float64Array,
    endedAt: Float64Array,
    partitions: Uint16Array
  }),
  polled: Columns.table({
    offset: Float64Array,
    process: Uint16Array,
    transaction: Uint32Array,
    index: Uint16Array
  }),
  consumptions: new Map(),
  places: [],
  placeNumbers: new Map(),
  sessions: new Map(),
  opens: new Map(),
  killed: new Map(),
  failedInits: [],
  nemeses: [],
  groupOffsets: [],
  leftOpen: [],
  producersClosed: [],
  leaks: [],
  problems: [],
  lastAt: 0
})

/**
 * Indexes events: those of one process in their order, the processes in any.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromEvents = (events: Iterable<Event>): HistoryIndex => {
  const building = begin()
  for (const event of events) building.add(event)
  return building.end()
}

/**
 * Reads the files of a run and indexes them, in the memory that the index needs.
 *
 * **Details**
 *
 * *Errors*: `HistoryError` with file and line.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (
  files: ReadonlyArray<string>
): Effect.Effect<HistoryIndex, HistoryFile.HistoryError> =>
  Effect.gen(function*() {
    const building = begin()
    for (const file of files) yield* HistoryFile.read(file, building.add)
    return building.end()
  })

/** A transaction may be resolved by a process whose file is read before that of its own. */
const begin = () => {
  const index = make()
  const early: Array<EventOf<"result">> = []
  return {
    add: (event: Event): void => {
      index.lastAt = Math.max(index.lastAt, event.t)
      if (event._tag === "result" && find(index, event) === null) early.push(event)
      else add(index, event)
    },
    end: (): HistoryIndex => {
      for (const event of early) add(index, event)
      return index
    }
  }
}

/**
 * The number of a partition among `places`; it gets one where it has none yet.
 *
 * @category accessors
 * @since 0.1.0
 */
export const placeOf = (index: HistoryIndex, topic: string, partition: number): number => {
  const name = `${topic}-${partition}`
  const known = index.placeNumbers.get(name)
  if (known !== undefined) return known
  index.placeNumbers.set(name, index.places.length)
  index.places.push({ topic, partition })
  return index.places.length - 1
}

const find = (
  index: HistoryIndex,
  event: { readonly process: number; readonly transaction: number }
): TransactionHistory | null => {
  const row = index.byNumber.get(keyOf(event.process, event.transaction))
  return row === undefined ? null : index.transactions[row]!
}

const add = (index: HistoryIndex, event: Event): void => {
  switch (event._tag) {
    case "open":
      index.opens.set(event.process, event)
      return
    case "init.ok":
      index.sessions.set(keyOf(event.process, event.session), event)
      return
    case "init.fail":
      index.failedInits.push(event)
      return
    case "begin":
      return addTransaction(index, event)
    case "group.offset":
      index.groupOffsets.push(event)
      return
    case "left.open":
      index.leftOpen.push(event)
      return
    case "nemesis":
      index.nemeses.push(event)
      if (event.fault === "process" && event.phase === "start" && event.target >= 0) {
        index.killed.set(event.target, event.t)
      }
      return
    case "poll":
      return addPoll(index, event)
    case "assign":
    case "revoke":
    case "lost":
    case "seek":
      consumptionsOf(index, event).push({ _tag: "move", event })
      return
    case "exit":
    case "init.info":
      return
    default:
      return addToTransaction(index, event)
  }
}

const addTransaction = (index: HistoryIndex, event: EventOf<"begin">): void => {
  const { count, id, process, session, t, transaction: number } = event
  const key = keyOf(process, number)
  if (index.byNumber.has(key)) {
    index.problems.push(`process ${process} has begun its transaction ${number} twice`)
    return
  }
  const row = index.transactions.length
  const firstSlot = Columns.addRows(index.slots, count)
  index.slots.transaction.fill(row, firstSlot, firstSlot + count)
  index.byNumber.set(key, row)
  index.transactions.push({
    row,
    process,
    number,
    id,
    session,
    count,
    firstSlot,
    beganAt: t,
    commitAskedAt: null,
    ended: null,
    openEnd: false,
    first: null,
    last: null,
    closedAt: null,
    positions: [],
    open: null
  })
}

type OfTransaction = Exclude<
  Event,
  EventOf<
    | "open"
    | "exit"
    | "init.ok"
    | "init.fail"
    | "init.info"
    | "begin"
    | "group.offset"
    | "left.open"
    | "nemesis"
    | "poll"
    | "assign"
    | "revoke"
    | "lost"
    | "seek"
  >
>

const addToTransaction = (index: HistoryIndex, event: OfTransaction): void => {
  if (event._tag === "scope.closed") {
    if (event.leaked > 0) index.leaks.push(event)
    if (event.scope === "producer") {
      index.producersClosed.push(event)
      return
    }
  }
  const transaction = find(index, event)
  if (transaction === null) {
    index.problems.push(
      `process ${event.process} tells ${event._tag} of its transaction ${event.transaction}, ` +
        "which it has not begun"
    )
    return
  }
  switch (event._tag) {
    case "send.inv":
      return addSend(index, transaction, event)
    case "offs.inv":
      transaction.positions.push(
        ...event.positions.map((position) => ({
          group: event.group,
          member: event.member,
          ...position
        }))
      )
      return addOperation(index, transaction, event, event.positions.length)
    case "send.ok":
      addAcks(index, transaction, event)
      return endOperation(index, transaction, event)
    case "send.fail":
    case "send.info":
    case "offs.ok":
    case "offs.fail":
    case "offs.info":
      return endOperation(index, transaction, event)
    default:
      return addEnd(transaction, event)
  }
}

const addEnd = (
  transaction: TransactionHistory,
  event: EventOf<"end.inv" | "end.ok" | "end.fail" | "end.info" | "result" | "scope.closed">
): void => {
  switch (event._tag) {
    case "end.inv":
      if (event.decision === "commit") transaction.commitAskedAt ??= event.t
      transaction.openEnd = true
      return
    case "end.ok":
      transaction.ended = event.decision
      transaction.openEnd = false
      return
    case "end.fail":
    case "end.info":
      transaction.openEnd = false
      return
    case "result":
      transaction.first ??= event
      transaction.last = event
      return
    case "scope.closed":
      transaction.closedAt = event.t
  }
}

const addSend = (
  index: HistoryIndex,
  transaction: TransactionHistory,
  event: EventOf<"send.inv">
): void => {
  for (const { indices } of event.records) {
    for (const at of indices) {
      if (at >= transaction.count) {
        index.problems.push(`${nameOf(transaction)} sends its record ${at} of ${transaction.count}`)
      } else index.slots.flags[transaction.firstSlot + at]! |= sentFlag
    }
  }
  addOperation(index, transaction, event, event.records.length)
}

const addAcks = (
  index: HistoryIndex,
  transaction: TransactionHistory,
  { acks }: EventOf<"send.ok">
): void => {
  const { slots } = index
  for (const { indices, offsets, partition, topic } of acks) {
    const place = placeOf(index, topic, partition)
    indices.forEach((at, position) => {
      const offset = offsets[position] ?? -1
      if (offset < 0 || at >= transaction.count) return
      const slot = transaction.firstSlot + at
      slots.flags[slot]! |= acknowledgedFlag
      slots.ackPlace[slot] = place
      slots.ackOffset[slot] = offset
    })
  }
}

const addOperation = (
  index: HistoryIndex,
  transaction: TransactionHistory,
  event: { readonly operation: number; readonly t: number },
  partitions: number
): void => {
  const { operations } = index
  const row = Columns.addRow(operations)
  operations.transaction[row] = transaction.row
  operations.at[row] = event.t
  operations.endedAt[row] = -1
  operations.partitions[row] = partitions
  transaction.open ??= new Map()
  transaction.open.set(event.operation, row)
}

const endOperation = (
  index: HistoryIndex,
  transaction: TransactionHistory,
  event: { readonly operation: number; readonly t: number }
): void => {
  const row = transaction.open?.get(event.operation)
  if (row === undefined) {
    index.problems.push(
      `${nameOf(transaction)} ends its operation ${event.operation}, which is not under way`
    )
    return
  }
  index.operations.endedAt[row] = event.t
  transaction.open?.delete(event.operation)
}

const consumptionsOf = (
  index: HistoryIndex,
  { member }: { readonly member: string }
): Array<Consumption> => {
  const known = index.consumptions.get(member)
  if (known !== undefined) return known
  const fresh: Array<Consumption> = []
  index.consumptions.set(member, fresh)
  return fresh
}

const addPoll = (index: HistoryIndex, event: EventOf<"poll">): void => {
  const { offsets, stamps, ...rest } = event
  const { polled } = index
  const firstRow = Columns.addRows(polled, offsets.length)
  offsets.forEach((offset, position) => {
    polled.offset[firstRow + position] = offset
    polled.process[firstRow + position] = stamps[position * 3] ?? 0
    polled.transaction[firstRow + position] = stamps[position * 3 + 1] ?? 0
    polled.index[firstRow + position] = stamps[position * 3 + 2] ?? 0
  })
  consumptionsOf(index, event).push({ _tag: "poll", event: rest, firstRow, rows: offsets.length })
}
