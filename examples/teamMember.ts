/**
 * A worker process's end of the channel to the program that started it; see `team.ts`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"

/** Tells the program something. */
export const report = <Report>(message: Report): Effect.Effect<void> =>
  Effect.sync(() => {
    // Without the channel there is nobody left to tell, and its closing ends this process.
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  })

/**
 * Runs a worker: its first message is its job, and every later one is an order. When the channel
 * closes, because the program says so or because it died, the worker is interrupted, which drains
 * it.
 */
export const run = <Job, Order, E>(
  work: (job: Job) => Effect.Effect<never, E>,
  onOrder: (order: Order) => void = () => {}
): void => {
  const dismissed = Effect.callback<void>((resume) => {
    process.once("disconnect", () => resume(Effect.void))
  })
  const job = Effect.callback<Job>((resume) => {
    process.once("message", (first) => {
      process.on("message", (order) => onOrder(order as Order))
      resume(Effect.succeed(first as Job))
    })
  })
  NodeRuntime.runMain(
    Effect.raceFirst(Effect.flatMap(job, work), dismissed).pipe(
      Effect.tapCause((cause) =>
        // The program's own output is no place for the log of its workers, apart from their end.
        Effect.sync(() => {
          if (!Cause.hasInterruptsOnly(cause)) process.stderr.write(`${Cause.pretty(cause)}\n`)
        })
      ),
      Effect.provide(Logger.layer([]))
    ),
    { disableErrorReporting: true }
  )
}
