/**
 * What is in the logs, and what the coordinators know, when a run is over: plain data in columns,
 * so that ten million records fit into memory and a checker is a pure function of them.
 *
 * @since 0.1.0
 */
import type * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Columns from "./checker/columns.ts"
import * as LogReader from "./LogReader.ts"
import type { LogReaderError } from "./LogReaderError.ts"
import * as RecordStamp from "./RecordStamp.ts"

/**
 * What a batch is.
 *
 * @category models
 * @since 0.1.0
 */
export const kinds = ["plain", "transactional", "commit", "abort", "other"] as const

/**
 * What a batch is: data outside or inside a transaction, an end marker, or a control record that
 * ends nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = (typeof kinds)[number]

const kindNumber: Readonly<Record<Kind, number>> = {
  plain: 0,
  transactional: 1,
  commit: 2,
  abort: 3,
  other: 4
}

/**
 * One partition's raw log, in columns.
 *
 * **Details**
 *
 * *Shape*: `batches` has one row per batch; its records are the rows of `records` from
 * `firstRecord` to that of the next batch. `problem` of a record is 0 for a good stamp, 1 for a
 * value without one, 2 for one whose checksum is wrong.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionState {
  readonly topic: string
  readonly partition: number
  readonly startOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly batches: Columns.Table<
    | "baseOffset"
    | "producerId"
    | "epoch"
    | "sequence"
    | "count"
    | "kind"
    | "crc"
    | "coordinatorEpoch"
    | "firstRecord"
  >
  readonly records: Columns.Table<
    | "offset"
    | "run"
    | "process"
    | "session"
    | "transaction"
    | "index"
    | "count"
    | "inputPartition"
    | "inputOffset"
    | "problem"
  >
}

/**
 * Everything that is known when a run is over.
 *
 * **Details**
 *
 * *Shape*: `groups` are committed positions, read under the rule that no transaction of theirs is
 * open. `aggregates` are sums that an application keeps over its input, computed anew from the
 * input by whoever took the state.
 *
 * @category models
 * @since 0.1.0
 */
export interface FinalState {
  readonly run: number
  readonly partitions: ReadonlyArray<PartitionState>
  readonly groups: ReadonlyArray<
    {
      readonly group: string
      readonly topic: string
      readonly partition: number
      readonly offset: number
    }
  >
  readonly transactions: ReadonlyArray<LogReader.TransactionListing>
  readonly producers: ReadonlyArray<LogReader.ActiveProducer & { readonly topic: string }>
  readonly aggregates: ReadonlyArray<
    { readonly name: string; readonly expected: number; readonly actual: number }
  >
}

/**
 * What of a batch is needed.
 *
 * @category models
 * @since 0.1.0
 */
export type Batch =
  & Pick<
    ProtocolClient.RecordBatch,
    | "baseOffset"
    | "control"
    | "coordinatorEpoch"
    | "crc"
    | "isTransactional"
    | "producerEpoch"
    | "producerId"
    | "baseSequence"
  >
  & {
    readonly records: ReadonlyArray<
      { readonly offset: bigint; readonly value: Uint8Array | null }
    >
  }

/**
 * An empty partition, to be filled with {@link append}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const emptyPartition = (
  topic: string,
  partition: number
): { -readonly [Key in keyof PartitionState]: PartitionState[Key] } => ({
  topic,
  partition,
  startOffset: 0,
  highWatermark: 0,
  lastStableOffset: 0,
  batches: Columns.table({
    baseOffset: Float64Array,
    producerId: Float64Array,
    epoch: Int16Array,
    sequence: Int32Array,
    count: Int32Array,
    kind: Uint8Array,
    crc: Uint32Array,
    coordinatorEpoch: Int32Array,
    firstRecord: Uint32Array
  }),
  records: Columns.table({
    offset: Float64Array,
    run: Uint32Array,
    process: Uint16Array,
    session: Uint16Array,
    transaction: Uint32Array,
    index: Uint16Array,
    count: Uint16Array,
    inputPartition: Int32Array,
    inputOffset: Float64Array,
    problem: Uint8Array
  })
})

/**
 * Adds a batch at the end of a partition.
 *
 * @category operations
 * @since 0.1.0
 */
export const append = (state: PartitionState, batch: Batch): void => {
  const { batches, records } = state
  const row = Columns.addRow(batches)
  batches.baseOffset[row] = Number(batch.baseOffset)
  batches.producerId[row] = Number(batch.producerId)
  batches.epoch[row] = batch.producerEpoch
  batches.sequence[row] = batch.baseSequence
  batches.kind[row] = kindNumber[kindOf(batch)]
  batches.crc[row] = batch.crc
  batches.coordinatorEpoch[row] = batch.coordinatorEpoch ?? -1
  batches.firstRecord[row] = records.length
  if (batch.control !== null) return
  batches.count[row] = batch.records.length
  for (const { offset, value } of batch.records) appendRecord(state, Number(offset), value)
}

const kindOf = ({ control, isTransactional }: Batch): Kind =>
  control ?? (isTransactional ? "transactional" : "plain")

const appendRecord = (
  { records, startOffset }: PartitionState,
  offset: number,
  value: Uint8Array | null
): void => {
  // A Fetch gives whole batches, also when the log was cut off within the first one.
  if (offset < startOffset) return
  const row = Columns.addRow(records)
  const stamp = RecordStamp.decode(value)
  records.offset[row] = offset
  if (typeof stamp === "string") {
    records.problem[row] = stamp === "foreign" ? 1 : 2
    return
  }
  records.run[row] = stamp.run
  records.process[row] = stamp.process
  records.session[row] = stamp.session
  records.transaction[row] = stamp.transaction
  records.index[row] = stamp.index
  records.count[row] = stamp.count
  records.inputPartition[row] = stamp.inputPartition
  records.inputOffset[row] = stamp.inputOffset
}

/**
 * What to read.
 *
 * **Details**
 *
 * *Shape*: `transactionalIdPrefix` leaves out what other runs have left with the coordinators.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly run: number
  readonly topics: ReadonlyArray<string>
  readonly groups?: ReadonlyArray<string> | undefined
  readonly transactionalIdPrefix?: string | undefined
  readonly aggregates?: FinalState["aggregates"] | undefined
}

/**
 * Reads the final state from the brokers, by the codec that no driver uses.
 *
 * **When to use**
 *
 * When everything is healed and every program has ended. It waits for nothing: what is still open
 * is in the state, for the checker to find. A test that has just ended a transaction waits with
 * `LogReader.readSettled` first, for the answer to EndTxn comes before the markers are written.
 *
 * **Details**
 *
 * *Errors*: those of `LogReader`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (
  at: LogReader.At,
  options: Options
): Effect.Effect<FinalState, LogReaderError> =>
  Effect.gen(function*() {
    const partitions: Array<PartitionState> = []
    const producers: Array<FinalState["producers"][number]> = []
    for (const topic of options.topics) {
      partitions.push(...yield* readTopic(at, topic))
      const active = yield* LogReader.describeProducers(at, topic)
      producers.push(...active.map((producer) => ({ ...producer, topic })))
    }
    const groups = yield* Effect.forEach(options.groups ?? [], (group) =>
      Effect.map(LogReader.committedOffsets(at, group), (rows) =>
        rows.map(({ offset, partition, topic }) => ({
          group,
          topic,
          partition,
          offset: Number(offset)
        }))))
    return {
      run: options.run,
      partitions,
      groups: groups.flat(),
      transactions: yield* LogReader.listTransactions(at, options.transactionalIdPrefix),
      producers,
      aggregates: options.aggregates ?? []
    }
  })

const readTopic = (at: LogReader.At, topic: string) =>
  Effect.gen(function*() {
    const states = new Map<number, ReturnType<typeof emptyPartition>>()
    yield* LogReader.scan(at, topic, (log) => {
      const state = states.get(log.partition) ?? emptyPartition(topic, log.partition)
      states.set(log.partition, state)
      state.startOffset = Number(log.startOffset)
      state.highWatermark = Number(log.highWatermark)
      state.lastStableOffset = Number(log.lastStableOffset)
      for (const batch of log.batches) append(state, batch)
    })
    return [...states.values()]
  })
