/** The process of an `AppProgram`: started, listened to, signalled, and never left behind. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as AppProgram from "../AppProgram.ts"

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface AppProcess {
  /** Waits for the first line that begins with the word, and gives the rest of it. */
  readonly told: (word: string) => Effect.Effect<string, NotTold>
  /** All that it has told so far. */
  readonly lines: Effect.Effect<ReadonlyArray<string>>
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
  /** Lets it go on from where it waits. */
  readonly goOn: Effect.Effect<void>
  readonly ended: Effect.Effect<Ended, NotTold>
}

/** It ended, or time was over, before it told what was waited for. */
export class NotTold extends Data.TaggedError("NotTold")<{
  readonly word: string
  readonly output: string
}> {
  override get message(): string {
    return `the program did not tell "${this.word}"; its output was:\n${this.output}`
  }
}

const limit = "40 seconds"

export const start = (
  program: string,
  plan: AppProgram.Plan
): Effect.Effect<AppProcess, Schema.SchemaError, Scope.Scope> =>
  Effect.gen(function*() {
    const argument = yield* Schema.encodeEffect(Schema.fromJsonString(AppProgram.Plan))(plan)
    return yield* startWith(program, argument)
  })

/** Starts any program that tells what it comes to in lines which begin with `@`. */
export const startWith = (
  program: string,
  argument: string
): Effect.Effect<AppProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      listenTo(spawn(process.execPath, ["--conditions=@kafka-once/source", program, argument]))
    ),
    // A frozen process is killed all the same.
    ({ ended, signal }) => Effect.andThen(signal("SIGKILL"), Effect.ignore(ended))
  )

const listenTo = (child: ChildProcess): AppProcess => {
  const ended = Deferred.makeUnsafe<Ended>()
  const watchers = new Set<() => void>()
  let output = ""
  let over = false
  const changed = () => watchers.forEach((watcher) => watcher())
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text
      changed()
    })
  }
  child.stdin?.on("error", () => {})
  child.on("close", (code, signal) => {
    over = true
    Deferred.doneUnsafe(ended, Effect.succeed({ code, signal }))
    changed()
  })
  const whole = (): ReadonlyArray<string> =>
    output.split("\n").slice(0, -1).filter((line) => line.startsWith("@")).map((line) =>
      line.slice(1)
    )
  const inTime = (word: string) => <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.timeoutOrElse(effect, {
      duration: limit,
      orElse: () => Effect.fail(new NotTold({ word, output }))
    })
  const told = (word: string) =>
    Effect.callback<string, NotTold>((resume) => {
      const look = () => {
        const line = whole().find((line) => line === word || line.startsWith(`${word} `))
        if (line === undefined && !over) return
        watchers.delete(look)
        resume(
          line === undefined
            ? Effect.fail(new NotTold({ word, output }))
            : Effect.succeed(line.slice(word.length + 1))
        )
      }
      watchers.add(look)
      look()
      return Effect.sync(() => watchers.delete(look))
    }).pipe(inTime(word))
  return {
    told,
    lines: Effect.sync(whole),
    signal: (name) => Effect.sync(() => child.kill(name)),
    goOn: Effect.sync(() => child.stdin?.write("\n")),
    ended: Deferred.await(ended).pipe(inTime("its end"))
  }
}
