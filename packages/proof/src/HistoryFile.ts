/**
 * The file of one process's history: written line by line as things happen, and read back.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs"
import { Event } from "./History.ts"

/**
 * A line that is no event, or a file that cannot be read or written. `line` counts from 1, and is 0
 * for the file as a whole.
 *
 * @category errors
 * @since 0.1.0
 */
export class HistoryError extends Schema.TaggedError<HistoryError>()("HistoryError", {
  file: Schema.String,
  line: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    const place = this.line === 0 ? this.file : `${this.file}:${this.line}`
    return `${place}: ${this.problem}`
  }
}

/**
 * Writes events to a file.
 *
 * **Details**
 *
 * `write` returns when the line is with the operating system, so that it outlives a SIGKILL of the
 * process; a line that says how a transaction ended is also forced to the disk.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writer {
  readonly write: (event: Event) => void
}

const isForced = ({ _tag }: Event): boolean =>
  _tag.startsWith("end.") || _tag === "result" || _tag === "exit"

/**
 * Creates the file, or goes on at its end, until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = (path: string): Effect.Effect<Writer, HistoryError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.try({ try: () => openSync(path, "a"), catch: failure(path) }),
      (file) => Effect.sync(() => closeSync(file))
    ),
    (file) => ({
      write: (event) => {
        writeSync(file, `${JSON.stringify(event)}\n`)
        if (isForced(event)) fsyncSync(file)
      }
    })
  )

const failure = (path: string) => (cause: unknown): HistoryError =>
  new HistoryError({ file: path, line: 0, problem: String(cause) })

const chunkBytes = 1024 * 1024
const lineFeed = 0x0a
const decodeEvent = Schema.decodeUnknownResult(Event)

/**
 * Reads a file event by event, in little memory however long it is.
 *
 * **Details**
 *
 * A last line without its line feed is what a killed process leaves: it is left out. `torn` says
 * whether there was one.
 *
 * *Errors*: `HistoryError` with file and line, for every other line that is no event; and for a
 * file that cannot be read.
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = (
  path: string,
  onEvent: (event: Event) => void
): Effect.Effect<{ readonly torn: boolean }, HistoryError> =>
  Effect.scoped(Effect.gen(function*() {
    const file = yield* Effect.acquireRelease(
      Effect.try({ try: () => openSync(path, "r"), catch: failure(path) }),
      (file) => Effect.sync(() => closeSync(file))
    )
    const chunk = Buffer.alloc(chunkBytes)
    let rest = Buffer.alloc(0)
    let line = 0
    while (true) {
      const bytes = yield* Effect.try({
        try: () => readSync(file, chunk, 0, chunkBytes, null),
        catch: failure(path)
      })
      if (bytes === 0) return { torn: rest.length > 0 }
      const text = Buffer.concat([rest, chunk.subarray(0, bytes)])
      let from = 0
      for (let to = text.indexOf(lineFeed); to >= 0; to = text.indexOf(lineFeed, from)) {
        line += 1
        const parsed = parse(text.toString("utf8", from, to))
        if (Result.isFailure(parsed)) {
          return yield* new HistoryError({ file: path, line, problem: parsed.failure })
        }
        onEvent(parsed.success)
        from = to + 1
      }
      rest = text.subarray(from)
    }
  }))

const parse = (line: string): Result.Result<Event, string> =>
  Result.try({ try: (): unknown => JSON.parse(line), catch: String }).pipe(
    Result.flatMap((json) => Result.mapError(decodeEvent(json), ({ message }) => message))
  )
