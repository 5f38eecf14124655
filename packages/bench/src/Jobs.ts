/**
 * The jobs that a contender's process is given, as lines of standard input.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { createInterface } from "node:readline"

/** Writes a line for whoever gives the jobs. */
export const tell = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** Says that it is ready, and does one job after the other. */
export const serve = <Job, E, R>(
  fromLine: (line: string) => Job | null,
  run: (job: Job) => Effect.Effect<void, E, R>
): Effect.Effect<void, unknown, R> =>
  Effect.gen(function*() {
    const lines = createInterface({ input: process.stdin })
    // Whoever started it is gone, and so is, perhaps, the broker for which a run would wait.
    lines.once("close", () => process.exit(0))
    tell("ready")
    yield* Stream.fromAsyncIterable(lines, (cause) => cause).pipe(
      Stream.runForEach((line) => {
        const job = fromLine(line)
        return job === null ? Effect.die(`not a job: ${line}`) : run(job)
      })
    )
  })

/** Standard output is for the lines alone: all else that is said goes to standard error. */
export const toStandardError = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  program.pipe(
    Effect.tapCause((cause) => Console.error(Cause.pretty(cause))),
    Effect.provideService(Logger.LogToStderr, true)
  )
