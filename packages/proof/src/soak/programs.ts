/**
 * The programs of a soak: each has a place, in which a new process is started when one has ended.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as SoakProgram from "../SoakProgram.ts"

/** What all programs have in common. */
export interface Common {
  /** The file that runs `SoakProgram`. */
  readonly program: string
  readonly directory: string
  readonly plan: Pick<
    SoakProgram.Plan,
    "addresses" | "topic" | "partitions" | "run" | "seed" | "ids"
  >
  /** What runs in each place. */
  readonly places: ReadonlyArray<Pick<SoakProgram.Plan, "driver" | "pipeline">>
}

export interface Program {
  /** Its number in the history. */
  readonly process: number
  readonly signal: (name: NodeJS.Signals) => Effect.Effect<void>
  readonly ended: Effect.Effect<{ readonly code: number | null; readonly output: string }>
}

export interface Programs {
  /** Starts a program in a place, with a number that no other had. */
  readonly start: (place: number) => Effect.Effect<Program, Schema.SchemaError>
  /** The one that was started last in a place. */
  readonly at: (place: number) => Program
  readonly files: () => ReadonlyArray<string>
}

export const make = (common: Common): Effect.Effect<Programs, never, Scope.Scope> =>
  Effect.gen(function*() {
    const running: Array<Program> = []
    const files: Array<string> = []
    const all = new Set<Program>()
    yield* Effect.addFinalizer(() =>
      Effect.forEach(all, ({ ended, signal }) => Effect.andThen(signal("SIGKILL"), ended), {
        discard: true
      })
    )
    return {
      start: (place) =>
        Effect.gen(function*() {
          // The process with the number 0 is the soak itself.
          const process = files.length + 1
          const file = join(common.directory, `history-${process}.jsonl`)
          files.push(file)
          const argument = yield* Schema.encodeEffect(Schema.fromJsonString(SoakProgram.Plan))({
            ...common.plan,
            ...common.places[place]!,
            prefix: `soak-${place}`,
            file,
            process
          })
          const program = listenTo(process, common.program, argument)
          all.add(program)
          running[place] = program
          return program
        }),
      at: (place) => running[place]!,
      // One that was killed at once has not even begun its history.
      files: () => files.filter((file) => existsSync(file))
    }
  })

/** So much of what a program prints is kept, for the case that it fails. */
const outputMax = 4_000

const listenTo = (number: number, program: string, argument: string): Program => {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--conditions=@kafka-once/source", program, argument],
    { stdio: ["ignore", "pipe", "pipe"] }
  )
  const ended = Deferred.makeUnsafe<{ readonly code: number | null; readonly output: string }>()
  let output = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-outputMax)
    })
  }
  child.on("close", (code) => Deferred.doneUnsafe(ended, Effect.succeed({ code, output })))
  return {
    process: number,
    signal: (name) => Effect.sync(() => child.kill(name)),
    ended: Deferred.await(ended)
  }
}
