/**
 * One connection through the proxy: the client's socket, the broker's socket, and what the rules do
 * to the frames between them.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { Socket } from "node:net"
import * as ErrorResponse from "./faultProxyErrorResponse.ts"
import type { Gates } from "./faultProxyGates.ts"
import * as Inspect from "./faultProxyInspect.ts"
import * as Lane from "./faultProxyLane.ts"
import type { Log, OpenEntry } from "./faultProxyLog.ts"
import { paceOf } from "./faultProxyPace.ts"
import type { ActiveRule, RequestSight, RuleBook } from "./faultProxyRuleBook.ts"
import * as Scanner from "./faultProxyScanner.ts"
import type { Side } from "./faultProxySocket.ts"
import type { ApiSchema } from "./protocol/apiSchema.ts"
import { errorCodes } from "./protocol/errorCode.ts"
import * as Frame from "./protocol/frame.ts"
import type { Struct } from "./protocol/messageCodec.ts"

export type Direction = "requests" | "responses"

/** What all connections of a proxy share. */
export interface Shared {
  readonly log: Log
  readonly rules: RuleBook
  readonly gates: Gates
  readonly mode: "surgical" | "realistic"
  /** Names of topics by id, learned from the Metadata answers that passed. */
  readonly topicNames: Map<string, string>
  readonly later: (run: () => void, millis: number) => void
}

export interface Connection {
  /** Resets both sockets at once. */
  readonly reset: () => void
  /** Lets nothing through in a direction until the returned function is called. */
  readonly block: (direction: Direction) => () => void
}

/** A request that the broker was given, or will be, and that it has not answered. */
interface Pending {
  readonly entry: OpenEntry
  readonly api: ApiSchema | undefined
  readonly readsAnswer: boolean
  readonly active: ActiveRule | undefined
  /** Answers of the proxy's own that must not overtake this one. */
  readonly followers: Array<() => void>
  /** The entry of the same request's second copy, whose answer comes next. */
  readonly copy: OpenEntry | undefined
  /** This is a second copy: its answer is for the log alone. */
  readonly isCopy: boolean
}

/** The request whose frame is being collected. */
interface Collected {
  readonly sight: RequestSight
  readonly correlationId: number
  readonly api: ApiSchema
  readonly head: Inspect.RequestFacts
}

/** So many requests without an answer are no Kafka client. */
const pendingMax = 10_000

/** How long the answer to a request whose client has gone is waited for. */
const answerGraceMillis = 10_000

const noAnswerFacts: Inspect.ResponseFacts = {
  errorCode: null,
  producerId: null,
  producerEpoch: null
}

const responseActions: ReadonlySet<string> = new Set(["dropResponse", "resetAfter", "mute"])

/** Whether a rule acts when the answer comes, not on the request. */
const actsOnResponse = ({ rule }: ActiveRule): boolean =>
  responseActions.has(rule.action.type) || rule.match.phase === "response"

export interface Options {
  readonly shared: Shared
  readonly clientSide: Side
  readonly brokerSide: Side
  readonly id: number
  readonly onClientId: (clientId: string) => void
  readonly onMalformed: (problem: string) => void
  readonly onClientClose: () => void
  /** Both sockets are closed. */
  readonly onClose: () => void
}

interface State extends Options {
  readonly client: Socket
  readonly upstream: Socket
  readonly up: Lane.Lane
  readonly down: Lane.Lane
  readonly requests: Scanner.Scanner
  readonly responses: Scanner.Scanner
  readonly pending: Map<number, Pending>
  /** Frames that are kept apart from their lane, by a surgical delay or hold. */
  readonly apart: { requests: number; responses: number }
  clientId: string | null
  clientGone: boolean
  muted: boolean
  lingering: boolean
  collected: Collected | undefined
  answered: Pending | undefined
  /** Requests whose frames pass as they come, and have not been handed on yet. */
  passing: Array<OpenEntry>
  /** Requests whose answers pass as they come, and wait behind a barrier. */
  waiting: Array<OpenEntry>
}

export const make = (options: Options): Connection => {
  const { shared } = options
  const { socket: client } = options.clientSide
  const { socket: upstream } = options.brokerSide
  const later = shared.later
  const onIdle = () => finish(state)
  const state: State = {
    ...options,
    client,
    upstream,
    up: Lane.make({ sink: upstream, source: client, onIdle, later }),
    down: Lane.make({ sink: client, source: upstream, onIdle, later }),
    requests: Scanner.make({
      leastBytes: 8,
      decide: (head, size) => decideRequest(state, head, size),
      onFrame: (frame) => onRequest(state, frame),
      onBytes: (bytes, midFrame) => passRequests(state, bytes, midFrame)
    }),
    responses: Scanner.make({
      leastBytes: 4,
      decide: (head) => decideResponse(state, head),
      onFrame: (frame) => onResponse(state, frame),
      onBytes: (bytes, midFrame) => passResponses(state, bytes, midFrame)
    }),
    pending: new Map(),
    apart: { requests: 0, responses: 0 },
    clientId: null,
    clientGone: false,
    muted: false,
    lingering: false,
    collected: undefined,
    answered: undefined,
    passing: [],
    waiting: []
  }
  listen(state)
  return {
    reset: () => reset(state),
    block: (direction) => laneOf(state, direction).barrier()
  }
}

const listen = (state: State): void => {
  const { client, requests, responses, upstream } = state
  client.on("data", (chunk) => {
    const problem = client.destroyed ? null : requests.push(chunk)
    if (problem !== null) malformed(state, problem)
  })
  upstream.on("data", (chunk) => {
    const problem = upstream.destroyed ? null : responses.push(chunk)
    if (problem !== null) malformed(state, problem)
  })
  client.on("error", () => undefined)
  client.on("close", () => {
    state.clientGone = true
    state.onClientClose()
    if (state.apart.requests === 0 && !state.up.isWaiting()) upstream.end()
    if (upstream.closed) state.onClose()
  })
  upstream.on("error", () => {
    if (state.apart.responses === 0 && !state.down.isWaiting()) state.clientSide.reset()
  })
  upstream.on("close", () => {
    state.pending.clear()
    finish(state)
    if (state.clientGone) state.onClose()
  })
}

const reset = ({ brokerSide, clientSide }: State): void => {
  clientSide.reset()
  brokerSide.reset()
}

const malformed = (state: State, problem: string): void => {
  state.onMalformed(problem)
  reset(state)
}

const laneOf = (state: State, direction: Direction): Lane.Lane =>
  direction === "requests" ? state.up : state.down

/** Ends what is left of a connection once nothing waits in it any more. */
const finish = (state: State): void => {
  const { apart, clientGone, down, pending, shared, up, upstream } = state
  if (clientGone && apart.requests === 0 && !up.isWaiting() && !upstream.writableEnded) {
    if (pending.size === 0) upstream.end()
    // What was held has just been given to the broker: its answer is worth knowing.
    else if (!state.lingering) shared.later(() => upstream.destroy(), answerGraceMillis)
    state.lingering = true
  }
  if (upstream.closed && apart.responses === 0) down.end()
}

const decideRequest = (state: State, head: Buffer, size: number): Scanner.Decision => {
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

const passRequests = (state: State, bytes: Buffer, midFrame: boolean): void => {
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

const onRequest = (state: State, frame: Buffer): void => {
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

const modeOf = ({ shared }: State, { rule }: ActiveRule): Shared["mode"] => rule.mode ?? shared.mode

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

/** What can be done to a frame in either direction. */
const transmit = (
  state: State,
  direction: Direction,
  frame: Buffer,
  active: ActiveRule,
  entry: OpenEntry,
  onSent: () => void
): void => {
  const lane = laneOf(state, direction)
  const { gates, later, rules } = state.shared
  const { action } = active.rule
  if (action.type === "release") {
    if (gates.release(action.gate) > 0) rules.fire(active, entry)
    return lane.write(frame, false, onSent)
  }
  rules.fire(active, entry)
  const isRealistic = modeOf(state, active) === "realistic"
  switch (action.type) {
    case "delay":
      return later(
        keep(state, direction, frame, isRealistic, onSent),
        Duration.toMillis(action.duration)
      )
    case "hold":
      return gates.hold(action.gate, keep(state, direction, frame, isRealistic, onSent))
    case "truncate":
      lane.write(frame.subarray(0, action.bytes), true, onSent)
      return cutOff(state, direction)
    case "corrupt":
      return lane.write(corrupted(frame, action.offset, action.xor), false, onSent)
    default:
      return lane.pace(frame, paceOf(action), onSent)
  }
}

/** Takes a frame out of its lane, or stops the lane before it, until it is to be delivered. */
const keep = (
  state: State,
  direction: Direction,
  frame: Buffer,
  isRealistic: boolean,
  onSent: () => void
): () => void => {
  const lane = laneOf(state, direction)
  if (isRealistic) {
    const open = lane.barrier()
    lane.write(frame, false, onSent)
    return open
  }
  state.apart[direction] += 1
  return () => {
    state.apart[direction] -= 1
    lane.insert(frame, onSent)
    finish(state)
  }
}

const cutOff = ({ clientSide, down, up, upstream }: State, direction: Direction): void => {
  if (direction === "requests") {
    up.end()
    clientSide.reset()
  } else {
    down.end()
    upstream.destroy()
  }
}

const decideResponse = (state: State, head: Buffer): Scanner.Decision => {
  if (head.length < 4) return "more"
  const request = state.pending.get(head.readInt32BE(0))
  const isDelivered = !state.muted && !state.clientGone
  if (request === undefined) return isDelivered ? "pass" : "swallow"
  if (isReadWhole(request)) {
    state.answered = request
    return "collect"
  }
  state.pending.delete(request.entry.correlationId)
  const isWaiting = state.down.isWaiting()
  const answer = { ...noAnswerFacts, delivered: isDelivered && !isWaiting, synthetic: false }
  state.shared.log.answered(request.entry, answer)
  if (isDelivered && isWaiting) state.waiting.push(request.entry)
  if (!isDelivered) finish(state)
  return isDelivered ? "pass" : "swallow"
}

const isReadWhole = ({ active, copy, followers, isCopy, readsAnswer }: Pending): boolean =>
  readsAnswer || active !== undefined || followers.length > 0 || copy !== undefined || isCopy

const passResponses = (state: State, bytes: Buffer, midFrame: boolean): void => {
  const entries = state.waiting
  if (entries.length === 0) return state.down.write(bytes, midFrame)
  state.waiting = []
  state.down.write(bytes, midFrame, () => {
    for (const entry of entries) noteDelivered(entry)
  })
}

const noteDelivered = (entry: OpenEntry): void => {
  if (entry.answer !== null) entry.answer = { ...entry.answer, delivered: true }
}

const onResponse = (state: State, frame: Buffer): void => {
  const request = state.answered!
  const { active, copy, entry } = request
  if (copy === undefined) state.pending.delete(entry.correlationId)
  // In the same place, so that what waits for the last request goes on waiting for that one.
  else {
    const second = { ...request, entry: copy, copy: undefined, isCopy: true, followers: [] }
    state.pending.set(entry.correlationId, second)
  }
  const facts = readAnswer(state.shared, request, frame)
  state.shared.log.answered(entry, { ...facts, delivered: false, synthetic: false })
  const onSent = () => noteDelivered(entry)
  if (active !== undefined && !state.muted) respond(state, frame, active, entry, onSent)
  else if (!request.isCopy && !state.muted && !state.clientGone) {
    state.down.write(frame, false, onSent)
  }
  for (const follower of request.followers) follower()
  finish(state)
}

const respond = (
  state: State,
  frame: Buffer,
  active: ActiveRule,
  entry: OpenEntry,
  onSent: () => void
): void => {
  const { rules } = state.shared
  switch (active.rule.action.type) {
    case "dropResponse":
      if (modeOf(state, active) === "realistic") state.muted = true
      return rules.fire(active, entry)
    case "mute":
      state.muted = true
      return rules.fire(active, entry)
    case "resetAfter":
      rules.fire(active, entry)
      return reset(state)
    default:
      return transmit(state, "responses", frame, active, entry, onSent)
  }
}

const readAnswer = (
  { topicNames }: Shared,
  { api, entry, readsAnswer }: Pending,
  frame: Buffer
): Inspect.ResponseFacts => {
  if (!readsAnswer || api === undefined) return noAnswerFacts
  const name = api.name as Frame.ApiName
  const decoded = Frame.decodeResponse(name, entry.version, frame.subarray(4))
  if (Result.isFailure(decoded)) return noAnswerFacts
  if (name !== "Metadata") return Inspect.responseFacts(decoded.success.body)
  Inspect.learnTopics(topicNames, decoded.success.body)
  return noAnswerFacts
}

const corrupted = (frame: Buffer, offset: number, xor: number): Buffer => {
  const copy = Buffer.from(frame)
  const at = offset < 0 ? copy.length + offset : offset
  if (at >= 0 && at < copy.length) copy[at]! ^= xor
  return copy
}
