/**
 * A list of faults with the seed they were drawn from: what is stored beside a failing run so that
 * it can be replayed.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { FaultProxyError, InvalidSchedule } from "./FaultProxyError.ts"
import * as FaultProxyRule from "./FaultProxyRule.ts"

/**
 * The rules of a run. In JSON: `{ "seed": 42, "mode": "realistic", "rules": [...] }`.
 *
 * @category models
 * @since 0.1.0
 */
export const FaultProxySchedule = Schema.Struct({
  seed: Schema.optionalKey(Schema.Int),
  mode: Schema.optionalKey(Schema.Literals(["surgical", "realistic"])),
  rules: Schema.Array(FaultProxyRule.FaultProxyRule)
})

/**
 * The rules of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultProxySchedule = typeof FaultProxySchedule.Type

const Envelope = Schema.Struct({
  seed: Schema.optionalKey(Schema.Int),
  mode: Schema.optionalKey(Schema.Literals(["surgical", "realistic"])),
  rules: Schema.Array(Schema.Unknown)
})

const failure = (source: string, problem: string): FaultProxyError =>
  new FaultProxyError({
    operation: "schedule",
    reason: new InvalidSchedule({ source, problem })
  })

/**
 * Reads a schedule from JSON text.
 *
 * **Details**
 *
 * *Errors*: `InvalidSchedule`, with the position of the rule that is wrong and what is wrong in it.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = Effect.fnUntraced(function*(
  text: string,
  source = "the text"
): Effect.fn.Return<FaultProxySchedule, FaultProxyError> {
  const json = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => failure(source, String(cause))
  })
  const envelope = Schema.decodeUnknownResult(Envelope)(json, { onExcessProperty: "error" })
  if (Result.isFailure(envelope)) {
    return yield* failure(source, envelope.failure.message.replaceAll("\n ", ""))
  }
  const rules = yield* Effect.forEach(
    envelope.success.rules,
    (rule, index) =>
      FaultProxyRule.decode(rule).pipe(
        Effect.mapError((error) => failure(source, `rules[${index}]: ${error.reason.message}`))
      )
  )
  return { ...envelope.success, rules }
})

/**
 * Reads a schedule from a file.
 *
 * **Details**
 *
 * *Errors*: `InvalidSchedule`, also where the file cannot be read.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromFile = Effect.fnUntraced(function*(
  path: string
): Effect.fn.Return<FaultProxySchedule, FaultProxyError> {
  const text = yield* Effect.tryPromise({
    try: (signal) => readFile(path, { encoding: "utf8", signal }),
    catch: (cause) => failure(path, String(cause))
  })
  return yield* decode(text, path)
})

/**
 * Writes a schedule as JSON text that {@link decode} reads back.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (schedule: FaultProxySchedule): string =>
  JSON.stringify(Schema.encodeSync(FaultProxySchedule)(schedule), null, 2)
