/** The bounded log behind `FaultProxyWireLog`, written by socket callbacks and read by effects. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { createWriteStream, type WriteStream } from "node:fs"
import { FaultProxyError, FrameNotSeen } from "../FaultProxyError.ts"
import type { Answer, Entry, EntryMatch, WireLog } from "../FaultProxyWireLog.ts"

/** An entry as long as the proxy still learns about it. */
export type OpenEntry = { -readonly [Key in keyof Entry]: Entry[Key] }

export type Phase = NonNullable<EntryMatch["phase"]>

export interface Log {
  readonly wireLog: WireLog
  readonly add: (entry: Omit<OpenEntry, "position" | "timeMillis">) => OpenEntry
  readonly forwarded: (entry: OpenEntry) => void
  readonly answered: (entry: OpenEntry, answer: Omit<Answer, "timeMillis">) => void
  readonly close: Effect.Effect<void>
}

interface Waiter {
  readonly match: EntryMatch
  readonly after: number
  left: number
  readonly resume: (entry: Entry) => void
}

/** Above this the file's lines are left out, so that a slow disk cannot fill the memory. */
const unwrittenBytesMax = 16 * 1024 * 1024

/** Wall-clock time that never goes backwards: sockets are outside of any test clock. */
export const nowMillis = (): number => performance.timeOrigin + performance.now()

const fits = (entry: Entry, match: EntryMatch): boolean =>
  (match.api === undefined || match.api === entry.api) &&
  (match.version === undefined || match.version === entry.version) &&
  (match.clientId === undefined || match.clientId === entry.clientId) &&
  (match.transactionalId === undefined || match.transactionalId === entry.transactionalId) &&
  (match.commit === undefined || match.commit === entry.commit) &&
  (match.producerId === undefined || match.producerId === entry.producerId) &&
  (match.producerEpoch === undefined || match.producerEpoch === entry.producerEpoch)

const reached = (entry: Entry, phase: Phase): boolean =>
  phase === "request" ||
  (phase === "forwarded" ? entry.forwardedMillis !== null : entry.answer !== null)

interface State {
  /** Twice `entriesMax` at most: dropped in halves, so that adding one costs the same always. */
  entries: Array<OpenEntry>
  next: number
  readonly entriesMax: number
  readonly waiters: Set<Waiter>
  readonly stream: WriteStream | undefined
}

export const make = (entriesMax: number, file: string | undefined): Log => {
  const state: State = {
    entries: [],
    next: 0,
    entriesMax,
    waiters: new Set(),
    stream: file === undefined ? undefined : createWriteStream(file, { flags: "a" })
  }
  // A log that cannot be written is not worth a test's process.
  state.stream?.on("error", () => undefined)
  return {
    wireLog: {
      entries: Effect.sync(() => visible(state).map((entry) => ({ ...entry }))),
      position: Effect.sync(() => state.next),
      omitted: Effect.sync(() => state.next - visible(state).length),
      awaitFrame: (match, options) => awaitFrame(state, match, options ?? {})
    },
    add: (content) => {
      const entry: OpenEntry = { position: state.next++, timeMillis: nowMillis(), ...content }
      state.entries.push(entry)
      if (state.entries.length >= entriesMax * 2) state.entries = state.entries.slice(-entriesMax)
      notify(state, entry, "request")
      return entry
    },
    forwarded: (entry) => {
      entry.forwardedMillis = nowMillis()
      notify(state, entry, "forwarded")
    },
    answered: (entry, answer) => {
      entry.answer = { timeMillis: nowMillis(), ...answer }
      notify(state, entry, "response")
    },
    close: close(state.stream)
  }
}

const visible = ({ entries, entriesMax }: State): ReadonlyArray<OpenEntry> =>
  entries.slice(-entriesMax)

const notify = ({ stream, waiters }: State, entry: OpenEntry, phase: Phase): void => {
  write(stream, entry, phase)
  for (const waiter of waiters) {
    if ((waiter.match.phase ?? "request") !== phase) continue
    if (entry.position < waiter.after || !fits(entry, waiter.match)) continue
    waiter.left -= 1
    if (waiter.left > 0) continue
    waiters.delete(waiter)
    waiter.resume({ ...entry })
  }
}

const awaitFrame = (
  state: State,
  match: EntryMatch,
  options: { readonly after?: number; readonly timeout?: Duration.Input }
): Effect.Effect<Entry, FaultProxyError> => {
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "30 seconds")
  const after = options.after ?? 0
  const nth = match.nth ?? 1
  const notSeen = () =>
    new FaultProxyError({
      operation: "awaitFrame",
      reason: new FrameNotSeen({
        match: JSON.stringify(match, bigintToText),
        limitMillis: Duration.toMillis(timeout)
      })
    })
  return Effect.callback<Entry>((resume) => {
    const past = state.entries.filter((entry) =>
      entry.position >= after && fits(entry, match) && reached(entry, match.phase ?? "request")
    )
    const found = past[nth - 1]
    if (found !== undefined) return resume(Effect.succeed({ ...found }))
    const waiter: Waiter = {
      match,
      after,
      left: nth - past.length,
      resume: (entry) => resume(Effect.succeed(entry))
    }
    state.waiters.add(waiter)
    return Effect.sync(() => {
      state.waiters.delete(waiter)
    })
  }).pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(notSeen()) })
  )
}

const close = (stream: WriteStream | undefined): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (stream === undefined || stream.closed) return resume(Effect.void)
    stream.once("close", () => resume(Effect.void))
    stream.end()
  }).pipe(Effect.timeoutOption("5 seconds"), Effect.asVoid)

/** For JSON, which knows no bigint. */
export const bigintToText = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value

const write = (stream: WriteStream | undefined, entry: OpenEntry, phase: Phase): void => {
  if (stream === undefined || stream.writableLength > unwrittenBytesMax) return
  stream.write(`${JSON.stringify({ phase, ...entry }, bigintToText)}\n`)
}
