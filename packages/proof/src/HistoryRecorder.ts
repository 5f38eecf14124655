/**
 * Writes the history of one process, and counts its sessions and transactions.
 *
 * @since 0.1.0
 */
import { KafkaDriver, type ProducerIdentity } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Event } from "./History.ts"
import * as HistoryFile from "./HistoryFile.ts"

/**
 * An event before it is told when and by whom.
 *
 * @category models
 * @since 0.1.0
 */
export type Untold = Event extends infer One ?
  One extends Event ? Omit<One, "t" | "process"> : never
  : never

/**
 * The recorder of a process.
 *
 * **Details**
 *
 * *Shape*
 * - `tell`: writes an event, now. `tellOf` writes one about another process's transaction: when an
 *   outcome that its own process did not learn is asked for again.
 * - `sessionOf`: the session that a transactional id has now.
 * - `opened`: a session of an id has been opened.
 * - `nextTransaction`: a number that no other transaction of the process has.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryRecorder {
  readonly run: number
  readonly process: number
  readonly tell: (event: Untold) => void
  readonly tellOf: (process: number, event: Untold) => void
  readonly sessionOf: (id: string) => number
  readonly opened: (id: string, identity: ProducerIdentity) => void
  readonly nextTransaction: () => number
}

/**
 * How to record.
 *
 * **Details**
 *
 * *Units and bounds*: `run` fits into 32 bits, `process` into 16; each start of a process is a
 * process of its own, with a file of its own. It has at most 65,536 sessions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly file: string
  readonly run: number
  readonly process: number
}

const nowNanos = (): number => Number(process.hrtime.bigint())

/**
 * Begins a process's history, and ends it with the scope.
 *
 * **Details**
 *
 * *Errors*: `HistoryError` for a file that cannot be opened.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { file, process, run }: Options
): Effect.Effect<HistoryRecorder, HistoryFile.HistoryError, Scope.Scope> =>
  Effect.gen(function*() {
    const { write } = yield* HistoryFile.open(file)
    const tellOf = (of: number, event: Untold): void =>
      write({ ...event, t: nowNanos(), process: of } as Event)
    const tell = (event: Untold): void => tellOf(process, event)
    const sessions = new Map<string, number>()
    let nextSession = 0
    let nextTransaction = 0
    const opened = (id: string, { epoch, producerId }: ProducerIdentity): void => {
      const session = nextSession++
      sessions.set(id, session)
      tell({ _tag: "init.ok", id, session, producerId: Number(producerId), epoch })
    }
    // The clock of the fault proxy's wire log, which is finer than that of the date.
    tell({ _tag: "open", run, wallMillis: performance.timeOrigin + performance.now() })
    yield* Effect.addFinalizer(() => Effect.sync(() => tell({ _tag: "exit" })))
    return {
      run,
      process,
      tell,
      tellOf,
      opened,
      sessionOf: (id) => {
        if (!sessions.has(id)) opened(id, unknownIdentity)
        return sessions.get(id) ?? 0
      },
      nextTransaction: () => nextTransaction++
    }
  })

/** Of a client that does not tell which producer it is. */
const unknownIdentity: ProducerIdentity = { producerId: -1n, epoch: -1 }

/**
 * A driver that does what the one beneath it does, and tells the recorder of every session.
 *
 * @category layers
 * @since 0.1.0
 */
export const sessions = (
  recorder: HistoryRecorder
): Layer.Layer<KafkaDriver, never, KafkaDriver> =>
  Layer.effect(
    KafkaDriver,
    KafkaDriver.useSync((driver) =>
      KafkaDriver.of({
        ...driver,
        openSession: (options) =>
          Effect.map(driver.openSession(options), (session) => ({
            ...session,
            initialize: session.initialize.pipe(
              Effect.tap((identity) =>
                Effect.sync(() => recorder.opened(options.transactionalId, identity))
              ),
              Effect.tapError((error) =>
                Effect.sync(() => {
                  const { transactionalId: id } = options
                  const isAnswer = error.failure._tag === "Answered"
                  const _tag = isAnswer ? "init.fail" : "init.info"
                  recorder.tell({ _tag, id, error: error.message })
                })
              )
            )
          }))
      })
    )
  )
