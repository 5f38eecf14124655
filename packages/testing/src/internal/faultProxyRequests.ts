/** What becomes of the requests of one connection. */
import * as Result from "effect/Result"
import * as ErrorResponse from "./faultProxyErrorResponse.ts"
import * as Inspect from "./faultProxyInspect.ts"
import type { OpenEntry } from "./faultProxyLog.ts"
import type { ActiveRule, RequestSight } from "./faultProxyRuleBook.ts"
import type * as Scanner from "./faultProxyScanner.ts"
import { malformed, modeOf, noAnswerFacts, reset, type State } from "./faultProxyState.ts"
import { transmit } from "./faultProxyTransmit.ts"
import type { ApiSchema } from "./protocol/apiSchema.ts"
import { errorCodes } from "./protocol/errorCode.ts"
import * as Frame from "./protocol/frame.ts"
import type { Struct } from "./protocol/messageCodec.ts"

/** So many requests without an answer are no Kafka client. */
const pendingMax = 10_000

const responseActions: ReadonlySet<string> = new Set(["dropResponse", "resetAfter", "mute"])

/** Whether a rule acts when the answer comes, not on the request. */
const actsOnResponse = ({ rule }: ActiveRule): boolean =>
  responseActions.has(rule.action.type) || rule.match.phase === "response"

export const decideRequest = (state: State, head: Buffer, size: number): Scanner.Decision => {
  if (head.length < 10) return "more"
  const clientIdBytes = Math.max(0, head.readInt16BE(8))
  if (head.length < 10 + clientIdBytes) return "more"
  const key = head.readInt16BE(0)
  const version = head.readInt16BE(2)
  const correlationId = head.readInt32BE(4)
  const api = Frame.apiByKey(key)
  const facts = api?.name === "Produce" ? Inspect.produceHead(api, head, size) : Inspect.noFacts
  if (facts === null) return "more"
  if (clientIdBytes > 0) identify(state, head.toString("utf8", 10, 10 + clientIdBytes))
  const sight = { api: api?.name ?? `api ${key}`, version, clientId: state.clientId }
  if (
    api !== undefined && (Inspect.isLogged(api.name) || state.shared.rules.isInteresting(sight))
  ) {
    state.collected = { sight, correlationId, api, head: facts }
    return "collect"
  }
  const entry = addEntry(state, sight, correlationId, facts, undefined)
  expectAnswer(state, entry, api, facts, undefined)
  state.passing.push(entry)
  // SaslHandshake v0 is followed by tokens that are no Kafka frames.
  if (api?.name !== "SaslHandshake" || version !== 0) return "pass"
  state.responses.becomeOpaque()
  return "opaque"
}

/** A connection is of one client: the name in its first request is kept. */
const identify = (state: State, name: string): void => {
  if (state.clientId !== null) return
  state.clientId = name
  state.onClientId(name)
}

export const passRequests = (state: State, bytes: Buffer, midFrame: boolean): void => {
  const entries = state.passing
  if (entries.length === 0) return state.up.write(bytes, midFrame)
  state.passing = []
  state.up.write(bytes, midFrame, () => {
    for (const entry of entries) state.shared.log.forwarded(entry)
  })
}

const addEntry = (
  { id, shared }: State,
  sight: RequestSight,
  correlationId: number,
  facts: Inspect.RequestFacts,
  active: ActiveRule | undefined
): OpenEntry =>
  shared.log.add({
    connection: id,
    clientId: sight.clientId,
    api: sight.api,
    version: sight.version,
    correlationId,
    transactionalId: facts.transactionalId,
    producerId: facts.producerId,
    producerEpoch: facts.producerEpoch,
    commit: facts.commit,
    rule: active?.name ?? null,
    action: active?.rule.action.type ?? null,
    forwardedMillis: null,
    answer: null
  })

const expectAnswer = (
  state: State,
  entry: OpenEntry,
  api: ApiSchema | undefined,
  facts: Inspect.RequestFacts,
  active: ActiveRule | undefined,
  copy?: OpenEntry
): void => {
  if (!facts.isAnswered) return
  const readsAnswer = api !== undefined && (Inspect.isLogged(api.name) ||
    api.name === "Metadata" || (api.name === "Produce" && facts.producerId !== null))
  state.pending.set(entry.correlationId, {
    entry,
    api,
    readsAnswer,
    active,
    followers: [],
    copy,
    isCopy: false
  })
  if (state.pending.size > pendingMax) malformed(state, `${pendingMax} requests without an answer`)
}

export const onRequest = (state: State, frame: Buffer): void => {
  const { api, correlationId, head, sight } = state.collected!
  const { log, rules } = state.shared
  const decoded = Frame.decodeRequest(frame.subarray(4))
  const body = Result.isSuccess(decoded) ? decoded.success.body : undefined
  const facts = body === undefined ? head : Inspect.requestFacts(api.name, body, head)
  const active = rules.meet(sight, facts)
  const entry = addEntry(state, sight, correlationId, facts, active)
  if (active === undefined || actsOnResponse(active)) {
    expectAnswer(state, entry, api, facts, active)
    return state.up.write(frame, false, () => log.forwarded(entry))
  }
  const { action } = active.rule
  switch (action.type) {
    case "dropRequest":
      rules.fire(active, entry)
      if (modeOf(state, active) === "realistic") state.up.lose()
      return
    case "resetBefore":
      rules.fire(active, entry)
      return reset(state)
    case "error": {
      const code = typeof action.code === "number" ? action.code : errorCodes[action.code]
      return answerInPlace(state, active, code, entry, facts, body)
    }
    case "duplicateRequest": {
      const copy = addEntry(state, sight, correlationId, facts, active)
      expectAnswer(state, entry, api, facts, undefined, copy)
      rules.fire(active, entry)
      state.up.write(frame, false, () => log.forwarded(entry))
      return state.up.write(frame, false, () => log.forwarded(copy))
    }
    default:
      expectAnswer(state, entry, api, facts, undefined)
      return transmit(state, "requests", frame, active, entry, () => log.forwarded(entry))
  }
}

const answerInPlace = (
  state: State,
  active: ActiveRule,
  code: number,
  entry: OpenEntry,
  facts: Inspect.RequestFacts,
  body: Struct | undefined
): void => {
  const { down, pending, shared } = state
  const api = entry.api as Frame.ApiName
  const answer = ErrorResponse.make(api, entry.version, body ?? {}, code)
  const response = Frame.encodeResponse(api, entry.version, entry.correlationId, answer)
  // A request that this codec cannot read is not answered, and the rule has not fired.
  if (body === undefined || Result.isFailure(response)) {
    return malformed(state, `a ${api} that cannot be read`)
  }
  shared.rules.fire(active, entry)
  if (!facts.isAnswered) return
  const send = () =>
    down.write(response.success, false, () =>
      shared.log.answered(entry, {
        ...noAnswerFacts,
        errorCode: code,
        delivered: true,
        synthetic: true
      }))
  const last = [...pending.values()].at(-1)
  // Clients take the answers of a connection in the order of their requests.
  if (last === undefined) send()
  else last.followers.push(send)
}
