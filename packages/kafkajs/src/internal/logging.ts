/**
 * kafkajs' logger, as entries of Effect's.
 *
 * kafkajs logs at ERROR what it also rejects with, CONCURRENT_TRANSACTIONS included, which is a
 * normal part of back-to-back transactions (K9). The library reports failures itself, so every
 * entry goes to `Debug`, and kafkajs' own DEBUG to `Trace`.
 */
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import { logLevel } from "kafkajs"

export interface Logging {
  readonly logLevel: logLevel
  readonly logCreator: () => (entry: Entry) => void
}

/** The fields of an entry that are passed on; the others can hold a response with its records. */
interface Entry {
  readonly namespace: string
  readonly level: logLevel
  readonly log: { readonly message: string; readonly [extra: string]: unknown }
}

/** Takes the loggers, level and annotations of the fiber that builds the layer. */
export const make: Effect.Effect<Logging> = Effect.gen(function*() {
  const context = yield* Effect.context<never>()
  const minimum = yield* References.MinimumLogLevel
  const run = Effect.runForkWith(context)
  return {
    // kafkajs builds no entry below this level.
    logLevel: LogLevel.isGreaterThan(minimum, "Debug")
      ? logLevel.NOTHING
      : LogLevel.isGreaterThan(minimum, "Trace")
      ? logLevel.INFO
      : logLevel.DEBUG,
    logCreator: () => (entry) => {
      const text = `kafkajs ${entry.namespace}: ${entry.log.message}`
      const write = entry.level === logLevel.DEBUG ? Effect.logTrace(text) : Effect.logDebug(text)
      const broker = entry.log["broker"]
      run(typeof broker === "string" ? Effect.annotateLogs(write, { broker }) : write)
    }
  }
})
