/**
 * One transaction whose history is written as it happens, for any client: the library's
 * (`RecordedProducer`), or a raw one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { EventOf } from "./History.ts"
import type { HistoryRecorder } from "./HistoryRecorder.ts"
import * as RecordStamp from "./RecordStamp.ts"

/**
 * A transaction that is recorded.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordedTransaction {
  readonly recorder: HistoryRecorder
  readonly id: string
  readonly number: number
  readonly session: number
  readonly count: number
  readonly next: { index: number; operation: number }
}

/**
 * A record to send, without its value, which is its stamp.
 *
 * **Details**
 *
 * *Shape*: `partition` is `null` where the client chooses it. `input` is what the record is made
 * from, by partition and offset of the pipeline's input topic. `bytes` is the length of the value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorded {
  readonly topic: string
  readonly partition: number | null
  readonly input?: { readonly partition: number; readonly offset: number } | undefined
  readonly bytes?: number | undefined
}

/**
 * Where a client says that a record is; -1 for an offset that it does not tell.
 *
 * @category models
 * @since 0.1.0
 */
export interface Placed {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/**
 * A transaction has begun, with so many records if it commits.
 *
 * @category constructors
 * @since 0.1.0
 */
export const begin = (
  recorder: HistoryRecorder,
  id: string,
  count: number
): RecordedTransaction => {
  const number = recorder.nextTransaction()
  const session = recorder.sessionOf(id)
  recorder.tell({ _tag: "begin", transaction: number, id, session, count })
  return { recorder, id, number, session, count, next: { index: 0, operation: 0 } }
}

/**
 * Stamps the next records of a transaction, sends them, and writes down what was answered.
 *
 * **Details**
 *
 * `isDefinite` tells the failures after which the records are certainly not in the log; all others,
 * and interruption, leave it open. Sending more records than the transaction has dies: the run
 * would prove nothing.
 *
 * @category operations
 * @since 0.1.0
 */
export const send = <E, R>(
  transaction: RecordedTransaction,
  records: ReadonlyArray<Recorded>,
  run: (values: ReadonlyArray<Uint8Array>) => Effect.Effect<ReadonlyArray<Placed>, E, R>,
  isDefinite: (error: E) => boolean = () => false
): Effect.Effect<ReadonlyArray<Placed>, E, R> =>
  Effect.suspend(() => {
    const { count, next, number, recorder } = transaction
    const first = next.index
    next.index += records.length
    if (next.index > count) {
      return Effect.die(new RangeError(`record ${next.index} of a transaction of ${count} records`))
    }
    const of = { transaction: number, operation: next.operation++ }
    recorder.tell({ _tag: "send.inv", ...of, records: asked(records, first) })
    return run(records.map((record, at) => stampOf(transaction, record, first + at))).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) {
            return recorder.tell({ _tag: "send.ok", ...of, acks: acknowledged(exit.value, first) })
          }
          const error = Option.getOrNull(Exit.findErrorOption(exit))
          const _tag = error !== null && isDefinite(error) ? "send.fail" : "send.info"
          recorder.tell({ _tag, ...of, error: wordOf(exit) })
        })
      )
    )
  })

const stampOf = (
  { count, number, recorder, session }: RecordedTransaction,
  { bytes, input }: Recorded,
  index: number
): Uint8Array =>
  RecordStamp.encode({
    run: recorder.run,
    process: recorder.process,
    session,
    transaction: number,
    index,
    count,
    inputPartition: input?.partition ?? -1,
    inputOffset: input?.offset ?? -1
  }, bytes)

type Asked = EventOf<"send.inv">["records"][number]
type Ack = EventOf<"send.ok">["acks"][number]

const asked = (records: ReadonlyArray<Recorded>, first: number): ReadonlyArray<Asked> => {
  const groups = new Map<string, Asked & { readonly indices: Array<number> }>()
  records.forEach(({ partition, topic }, at) => {
    const key = `${topic}-${partition}`
    const group = groups.get(key) ?? { topic, partition, indices: [] }
    groups.set(key, group)
    group.indices.push(first + at)
  })
  return [...groups.values()]
}

const acknowledged = (placed: ReadonlyArray<Placed>, first: number): ReadonlyArray<Ack> => {
  const groups = new Map<
    string,
    Ack & { readonly indices: Array<number>; readonly offsets: Array<number> }
  >()
  placed.forEach(({ offset, partition, topic }, at) => {
    const key = `${topic}-${partition}`
    const group = groups.get(key) ?? { topic, partition, indices: [], offsets: [] }
    groups.set(key, group)
    group.indices.push(first + at)
    group.offsets.push(offset)
  })
  return [...groups.values()]
}

/** A failure in one word: the tag of a reason or of an error. */
const wordOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.hasInterrupts(exit)) return "Interrupted"
  const error: unknown = Option.getOrNull(Exit.findErrorOption(exit))
  if (typeof error !== "object" || error === null) return String(error)
  if ("reason" in error) return tagOf(error.reason)
  return tagOf(error)
}

const tagOf = (value: unknown): string =>
  typeof value === "object" && value !== null && "_tag" in value
    ? String(value._tag)
    : String(value)

const recoveryOf = (exit: Exit.Exit<unknown, unknown>): string | null => {
  const error: unknown = Option.getOrNull(Exit.findErrorOption(exit))
  return typeof error === "object" && error !== null && "recovery" in error
    ? String(error.recovery)
    : null
}

/**
 * Adds positions of a group to a transaction, and writes down what was answered.
 *
 * @category operations
 * @since 0.1.0
 */
export const sendOffsets = <A, E, R>(
  { next, number, recorder }: RecordedTransaction,
  offsets: Pick<EventOf<"offs.inv">, "group" | "member" | "positions">,
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const of = { transaction: number, operation: next.operation++ }
    recorder.tell({ _tag: "offs.inv", ...of, ...offsets })
    return Effect.onExit(run, (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) recorder.tell({ _tag: "offs.ok", ...of })
        else recorder.tell({ _tag: "offs.info", ...of, error: wordOf(exit) })
      }))
  })

/**
 * The transaction is about to be ended.
 *
 * @category operations
 * @since 0.1.0
 */
export const ending = (
  { number, recorder }: RecordedTransaction,
  decision: "commit" | "abort"
): void => recorder.tell({ _tag: "end.inv", transaction: number, decision })

/**
 * The transaction has ended: what the program is told, with the exit in which it learns it.
 *
 * @category operations
 * @since 0.1.0
 */
export const ended = (
  { id, number: transaction, recorder }: RecordedTransaction,
  decision: "commit" | "abort",
  outcome: EventOf<"result">["outcome"],
  exit: Exit.Exit<unknown, unknown>
): void => {
  const error = Exit.isSuccess(exit) ? null : wordOf(exit)
  if (outcome === "Unknown") {
    recorder.tell({ _tag: "end.info", transaction, error: error ?? "" })
  } else if (outcome === "Committed" || decision === "abort") {
    recorder.tell({ _tag: "end.ok", transaction, decision })
  } else recorder.tell({ _tag: "end.fail", transaction, error: error ?? "" })
  const recovery = recoveryOf(exit)
  recorder.tell({ _tag: "result", transaction, outcome, resolved: false, error, recovery })
  recorder.tell({
    _tag: "scope.closed",
    scope: "transaction",
    id,
    transaction,
    clientId: null,
    leaked: 0
  })
}

/**
 * An unknown outcome was asked for again, by whichever process.
 *
 * @category operations
 * @since 0.1.0
 */
export const resolved = (
  recorder: HistoryRecorder,
  transaction: { readonly process: number; readonly number: number },
  outcome: EventOf<"result">["outcome"]
): void =>
  recorder.tellOf(transaction.process, {
    _tag: "result",
    transaction: transaction.number,
    outcome,
    resolved: true,
    error: null,
    recovery: null
  })
