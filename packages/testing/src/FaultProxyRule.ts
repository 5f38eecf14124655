/**
 * One fault as data: which frame on the wire, and what happens to it.
 *
 * **Example** (The response of the first commit is lost)
 *
 * ```ts
 * import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
 *
 * const lostCommit = FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, nth: 1 })
 * lostCommit.name // => "dropResponse EndTxn commit nth=1"
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { FaultProxyError, InvalidRule } from "./FaultProxyError.ts"
import { errorCodes } from "./internal/protocol/errorCode.ts"
import { apiByName } from "./internal/protocol/frame.ts"
import { apiNames } from "./internal/protocol/generated/apis.ts"

/**
 * The name of a Kafka API, as in Kafka's own message definitions: `Produce`, `EndTxn`, ...
 *
 * @category models
 * @since 0.1.0
 */
export const ApiName = Schema.Literals(apiNames)

/**
 * The name of a Kafka API, as in Kafka's own message definitions.
 *
 * @category models
 * @since 0.1.0
 */
export type ApiName = typeof ApiName.Type

/**
 * The name of a Kafka error code: `NOT_COORDINATOR`, `PRODUCER_FENCED`, ...
 *
 * @category models
 * @since 0.1.0
 */
export const ErrorName = Schema.Literals(
  Object.keys(errorCodes) as Array<keyof typeof errorCodes>
)

/**
 * The name of a Kafka error code.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorName = typeof ErrorName.Type

const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * Which frames a rule is about. Every field that is there must fit; a field that is absent fits
 * every frame.
 *
 * **Details**
 *
 * *Shape*
 * - `nth`: counts the frames that fit all other fields since the rule came in; `2` is the second
 *   alone, `[2, 4]` the second to the fourth. Without it the rule acts on every one.
 * - `commit`: an EndTxn that commits (`true`) or aborts (`false`).
 * - `producerId`: a bigint, and a string of digits in JSON.
 * - `topic`: a request that names the topic, among others perhaps.
 * - `phase`: whether the action is done to the request (the default) or to its response, for the
 *   actions that can be done to both.
 * - `probability`: acts on this share of the frames, drawn from the proxy's seed, the rule's
 *   position and the count of the frame, so that a schedule replays.
 *
 * @category models
 * @since 0.1.0
 */
export const Match = Schema.Struct({
  api: Schema.optionalKey(ApiName),
  version: Schema.optionalKey(Schema.Int),
  nth: Schema.optionalKey(
    Schema.Union([PositiveInt, Schema.Tuple([PositiveInt, PositiveInt])])
  ),
  clientId: Schema.optionalKey(Schema.String),
  transactionalId: Schema.optionalKey(Schema.String),
  commit: Schema.optionalKey(Schema.Boolean),
  producerId: Schema.optionalKey(Schema.BigIntFromString),
  producerEpoch: Schema.optionalKey(Schema.Int),
  topic: Schema.optionalKey(Schema.String),
  phase: Schema.optionalKey(Schema.Literals(["request", "response"])),
  probability: Schema.optionalKey(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
  )
})

/**
 * Which frames a rule is about.
 *
 * @category models
 * @since 0.1.0
 */
export type Match = typeof Match.Type

/**
 * What happens to a frame that fits.
 *
 * **Details**
 *
 * *Shape*
 * - `dropRequest`: the broker never sees it. `dropResponse`: the broker acts, its answer is lost.
 * - `resetBefore`: the connection is reset, the broker never sees the request. `resetAfter`: it is
 *   reset when the broker has answered, and the answer is lost.
 * - `duplicateRequest`: the broker gets the same frame twice, one right after the other, and the
 *   client only the first answer. The wire log has an entry for each.
 * - `delay`: delivered later, by the wall clock.
 * - `hold`: kept behind a gate until `FaultProxy.release` or a rule with `release`. A held request
 *   is delivered even after its client has gone.
 * - `release`: opens the gate, then delivers the frame.
 * - `error`: answered by the proxy with this code, the broker never sees it.
 * - `mute`: this response and all later ones of the connection vanish.
 * - `truncate`: the first `bytes` of the frame, its four bytes of size among them, then the end of
 *   the connection.
 * - `corrupt`: the byte at `offset` (0 is the first of the size, -1 the last of the frame) is
 *   xored.
 * - `slice`: written in pieces of `bytes`, `gap` apart. `bandwidth`: at most so many bytes a
 *   second.
 *
 * @category models
 * @since 0.1.0
 */
export const Action = Schema.Union([
  Schema.Struct({ type: Schema.Literal("dropRequest") }),
  Schema.Struct({ type: Schema.Literal("dropResponse") }),
  Schema.Struct({ type: Schema.Literal("resetBefore") }),
  Schema.Struct({ type: Schema.Literal("resetAfter") }),
  Schema.Struct({ type: Schema.Literal("duplicateRequest") }),
  Schema.Struct({ type: Schema.Literal("delay"), duration: Schema.DurationFromString }),
  Schema.Struct({ type: Schema.Literal("hold"), gate: Schema.String }),
  Schema.Struct({ type: Schema.Literal("release"), gate: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("error"),
    code: Schema.Union([ErrorName, Schema.Int])
  }),
  Schema.Struct({ type: Schema.Literal("mute") }),
  Schema.Struct({ type: Schema.Literal("truncate"), bytes: PositiveInt }),
  Schema.Struct({
    type: Schema.Literal("corrupt"),
    offset: Schema.Int,
    xor: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 255 }))
  }),
  Schema.Struct({
    type: Schema.Literal("slice"),
    bytes: PositiveInt,
    gap: Schema.optionalKey(Schema.DurationFromString)
  }),
  Schema.Struct({ type: Schema.Literal("bandwidth"), bytesPerSecond: PositiveInt })
])

/**
 * What happens to a frame that fits.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = typeof Action.Type

/**
 * One fault. In JSON:
 * `{ "name": "lost commit", "match": { "api": "EndTxn", "commit": true, "nth": 1 }, "action": {
 * "type": "dropResponse" } }`.
 *
 * **Details**
 *
 * *Shape*
 * - `name`: how errors and the wire log name it; made from the rest where it is absent.
 * - `mode`: overrides the mode of the proxy for this rule.
 * - `optional`: a rule that need not fire, for long random runs.
 *
 * @category models
 * @since 0.1.0
 */
export const FaultProxyRule = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  match: Match,
  action: Action,
  mode: Schema.optionalKey(Schema.Literals(["surgical", "realistic"])),
  optional: Schema.optionalKey(Schema.Boolean)
})

/**
 * One fault.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultProxyRule = typeof FaultProxyRule.Type

const actionTypes: ReadonlyArray<string> = Action.members.map((member) =>
  member.fields.type.literal
)

/** The actions that can be done to a request and to a response. */
const bothPhases: ReadonlySet<string> = new Set([
  "delay",
  "hold",
  "release",
  "truncate",
  "corrupt",
  "slice",
  "bandwidth"
])

/**
 * Names what a rule does, for errors and the wire log.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = (rule: Pick<FaultProxyRule, "name" | "match" | "action">): string => {
  if (rule.name !== undefined) return rule.name
  const { api, commit, nth, ...rest } = rule.match
  const parts = [rule.action.type, api ?? "any"]
  if (commit !== undefined) parts.push(commit ? "commit" : "abort")
  if (nth !== undefined) parts.push(`nth=${typeof nth === "number" ? nth : nth.join("-")}`)
  for (const [key, value] of Object.entries(rest)) parts.push(`${key}=${String(value)}`)
  return parts.join(" ")
}

const make = (match: Match, action: Action): FaultProxyRule => ({
  name: nameOf({ match, action }),
  match,
  action
})

/**
 * The broker never sees the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dropRequest = (match: Match): FaultProxyRule => make(match, { type: "dropRequest" })

/**
 * The broker acts on the request, and its answer is lost.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dropResponse = (match: Match): FaultProxyRule => make(match, { type: "dropResponse" })

/**
 * The connection is reset, and the broker never sees the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resetBefore = (match: Match): FaultProxyRule => make(match, { type: "resetBefore" })

/**
 * The connection is reset when the broker has answered, and the answer is lost.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resetAfter = (match: Match): FaultProxyRule => make(match, { type: "resetAfter" })

/**
 * The broker gets the request twice, as from a retry that the client knows nothing of, and the
 * client only the first answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const duplicateRequest = (match: Match): FaultProxyRule =>
  make(match, { type: "duplicateRequest" })

/**
 * The request, or with `phase: "response"` its answer, is delivered later.
 *
 * @category constructors
 * @since 0.1.0
 */
export const delay = (match: Match, duration: Duration.Input): FaultProxyRule =>
  make(match, { type: "delay", duration: Duration.fromInputUnsafe(duration) })

/**
 * The request, or with `phase: "response"` its answer, is kept behind a gate until it is released.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hold = (match: Match, gate: string): FaultProxyRule =>
  make(match, { type: "hold", gate })

/**
 * When the frame passes, what is held behind the gate is delivered before it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const release = (match: Match, gate: string): FaultProxyRule =>
  make(match, { type: "release", gate })

/**
 * The proxy answers with the error code, and the broker never sees the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const error = (match: Match, code: ErrorName | number): FaultProxyRule =>
  make(match, { type: "error", code })

/**
 * The response and all later ones of the connection vanish.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mute = (match: Match): FaultProxyRule => make(match, { type: "mute" })

/**
 * Only the first bytes of the frame arrive, then the connection ends.
 *
 * @category constructors
 * @since 0.1.0
 */
export const truncate = (match: Match, bytes: number): FaultProxyRule =>
  make(match, { type: "truncate", bytes })

/**
 * One byte of the frame is changed: `offset` from its start, or from its end where it is negative.
 *
 * @category constructors
 * @since 0.1.0
 */
export const corrupt = (match: Match, offset: number, xor = 0xff): FaultProxyRule =>
  make(match, { type: "corrupt", offset, xor })

/**
 * The frame is written in pieces.
 *
 * @category constructors
 * @since 0.1.0
 */
export const slice = (match: Match, bytes: number, gap: Duration.Input = 0): FaultProxyRule =>
  make(match, { type: "slice", bytes, gap: Duration.fromInputUnsafe(gap) })

/**
 * The frame is written at no more than so many bytes a second.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bandwidth = (match: Match, bytesPerSecond: number): FaultProxyRule =>
  make(match, { type: "bandwidth", bytesPerSecond })

/**
 * Reads a rule from JSON, and checks that it can fire at all.
 *
 * **Details**
 *
 * *Errors*: `InvalidRule`, which names the API, action or field that does not exist.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (json: unknown): Effect.Effect<FaultProxyRule, FaultProxyError> =>
  Effect.fromResult(examine(json, Schema.decodeUnknownResult(FaultProxyRule)))

/**
 * Checks a rule that a program made, as {@link decode} checks one that was read: types do not keep
 * a JavaScript program, or a cast, from naming an API that does not exist.
 *
 * @category decoding
 * @since 0.1.0
 */
export const validate = (rule: FaultProxyRule): Effect.Effect<FaultProxyRule, FaultProxyError> =>
  Effect.fromResult(examine(rule, Schema.decodeUnknownResult(Schema.toType(FaultProxyRule))))

type Decode = (
  input: unknown,
  options: { readonly onExcessProperty: "error" }
) => Result.Result<FaultProxyRule, Schema.SchemaError>

const examine = (
  input: unknown,
  decode: Decode
): Result.Result<FaultProxyRule, FaultProxyError> => {
  const name = titleOf(input)
  const fail = (problem: string) =>
    Result.fail(
      new FaultProxyError({
        operation: "rule",
        reason: new InvalidRule({ rule: name, problem })
      })
    )
  const misnamed = findMisnamed(input)
  if (misnamed !== null) return fail(misnamed)
  const decoded = decode(input, { onExcessProperty: "error" })
  if (Result.isFailure(decoded)) return fail(decoded.failure.message.replaceAll("\n ", ""))
  const rule = { ...decoded.success, name: nameOf(decoded.success) }
  const impossible = findImpossible(rule)
  return impossible === null ? Result.succeed(rule) : fail(impossible)
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const titleOf = (input: unknown): string => {
  if (isRecord(input) && typeof input["name"] === "string") return `"${input["name"]}"`
  const text = JSON.stringify(input, (_, value) => typeof value === "bigint" ? `${value}` : value)
  return (text ?? String(input)).slice(0, 200)
}

/** The two mistakes that people make get a message of their own before the schema speaks. */
const findMisnamed = (input: unknown): string | null => {
  if (!isRecord(input)) return "a rule is an object with `match` and `action`"
  const { action, match } = input
  if (isRecord(match) && typeof match["api"] === "string" && !Schema.is(ApiName)(match["api"])) {
    return `there is no API "${match["api"]}"${closest(match["api"], apiNames)}`
  }
  if (!isRecord(action) || typeof action["type"] !== "string") {
    return `\`action\` is an object with a \`type\`, one of ${actionTypes.join(", ")}`
  }
  if (!actionTypes.includes(action["type"])) {
    return `there is no action "${action["type"]}", only ${actionTypes.join(", ")}`
  }
  const code = action["code"]
  if (action["type"] === "error" && typeof code === "string" && !(code in errorCodes)) {
    return `there is no error code "${code}"${closest(code, Object.keys(errorCodes))}`
  }
  return null
}

/** Names that hold the wrong one, or are held by it, whatever the case. */
const closest = (name: string, names: ReadonlyArray<string>): string => {
  const wanted = name.toLowerCase().slice(0, 5)
  const near = names.filter((candidate) => candidate.toLowerCase().includes(wanted)).slice(0, 8)
  return near.length === 0 ? "" : `; did you mean ${near.join(", ")}?`
}

/** A rule that is well formed and can never fire would only be found when its test ends. */
const findImpossible = ({ action, match }: FaultProxyRule): string | null => {
  if (match.phase === "response" && !bothPhases.has(action.type)) {
    return `${action.type} has no phase: it is always about the one that its name says`
  }
  if (match.commit !== undefined && match.api !== "EndTxn") {
    return "`commit` is about EndTxn alone: name that API"
  }
  if (Array.isArray(match.nth) && match.nth[0] > match.nth[1]) {
    return `nth [${match.nth.join(", ")}] counts backwards`
  }
  const api = match.api === undefined ? undefined : apiByName(match.api)
  if (api !== undefined && match.version !== undefined) {
    if (match.version < api.versions[0] || match.version > api.versions[1]) {
      return `${api.name} has versions ${api.versions.join(" to ")}, not ${match.version}`
    }
  }
  if (action.type === "error" && match.api === undefined) {
    return "an error is answered in the form of its API: name the API"
  }
  return null
}
