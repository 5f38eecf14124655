/**
 * One connection through the proxy: the client's socket, the broker's socket, and what the rules do
 * to the frames between them.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { createConnection, type Socket } from "node:net"
import type { Action } from "../FaultProxyRule.ts"
import type { Answer } from "../FaultProxyWireLog.ts"
import * as ErrorResponse from "./faultProxyErrorResponse.ts"
import type { Gates } from "./faultProxyGates.ts"
import * as Inspect from "./faultProxyInspect.ts"
import * as Lane from "./faultProxyLane.ts"
import type { Log, OpenEntry } from "./faultProxyLog.ts"
import type { ActiveRule, RequestSight, RuleBook } from "./faultProxyRuleBook.ts"
import * as Scanner from "./faultProxyScanner.ts"
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
  readonly clientId: () => string | null
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

export const make = (options: {
  readonly shared: Shared
  readonly client: Socket
  readonly target: { readonly host: string; readonly port: number }
  readonly id: number
  readonly onClientId: (clientId: string | null) => void
  readonly onMalformed: (problem: string) => void
  readonly onClientClose: () => void
  /** Both sockets are closed. */
  readonly onClose: () => void
}): Connection => {
  const { client, shared } = options
  const { log, rules } = shared
  const upstream = createConnection({ ...options.target, noDelay: true })
  client.setNoDelay(true)
  const pending = new Map<number, Pending>()
  let clientId: string | null = null
  let clientGone = false
  let muted = false
  // Frames that are kept apart from their lane, by a surgical delay or hold.
  const apart = { requests: 0, responses: 0 }
  let collected: Collected | undefined
  let answered: Pending | undefined
  let passing: Array<OpenEntry> = []

  const reset = (): void => {
    client.resetAndDestroy()
    upstream.resetAndDestroy()
  }

  const up = Lane.make({
    sink: upstream,
    source: client,
    onIdle: () => finish(),
    later: shared.later
  })
  const down = Lane.make({
    sink: client,
    source: upstream,
    onIdle: () => finish(),
    later: shared.later
  })

  /** Ends what is left of a connection once nothing waits in it any more. */
  const finish = (): void => {
    if (clientGone && apart.requests === 0 && !up.isWaiting() && !upstream.writableEnded) {
      // What was held has just been given to the broker: its answer is worth knowing.
      if (pending.size === 0) upstream.end()
      else shared.later(() => upstream.destroy(), answerGraceMillis)
    }
    if (upstream.closed && apart.responses === 0) down.end()
  }

  const decideRequest = (head: Buffer, size: number): Scanner.Decision => {
    if (head.length < 10) return "more"
    const clientIdBytes = Math.max(0, head.readInt16BE(8))
    if (head.length < 10 + clientIdBytes) return "more"
    const key = head.readInt16BE(0)
    const version = head.readInt16BE(2)
    identify(head.readInt16BE(8) < 0 ? null : head.toString("utf8", 10, 10 + clientIdBytes))
    const api = Frame.apiByKey(key)
    const sight = { api: api?.name ?? `api ${key}`, version, clientId }
    const facts = api?.name === "Produce"
      ? Inspect.produceHead(api, head, size)
      : Inspect.noFacts
    if (facts === null) return "more"
    const correlationId = head.readInt32BE(4)
    if (api !== undefined && (Inspect.isLogged(api.name) || rules.isInteresting(sight))) {
      collected = { sight, correlationId, api, head: facts }
      return "collect"
    }
    const entry = addEntry(sight, correlationId, facts, undefined)
    expectAnswer(entry, api, facts, undefined)
    passing.push(entry)
    // SaslHandshake v0 is followed by tokens that are no Kafka frames.
    if (api?.name !== "SaslHandshake" || version !== 0) return "pass"
    responses.becomeOpaque()
    return "opaque"
  }

  const identify = (name: string | null): void => {
    if (clientId !== null || name === null) return
    clientId = name
    options.onClientId(name)
  }

  const addEntry = (
    sight: RequestSight,
    correlationId: number,
    facts: Inspect.RequestFacts,
    active: ActiveRule | undefined
  ): OpenEntry =>
    log.add({
      connection: options.id,
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
    entry: OpenEntry,
    api: ApiSchema | undefined,
    facts: Inspect.RequestFacts,
    active: ActiveRule | undefined
  ): void => {
    if (!facts.isAnswered) return
    const readsAnswer = api !== undefined && (Inspect.isLogged(api.name) ||
      api.name === "Metadata" || (api.name === "Produce" && facts.producerId !== null))
    pending.set(entry.correlationId, { entry, api, readsAnswer, active, followers: [] })
    if (pending.size > pendingMax) malformed(`${pendingMax} requests without an answer`)
  }

  const malformed = (problem: string): void => {
    options.onMalformed(problem)
    reset()
  }

  const onRequest = (frame: Buffer): void => {
    const { api, correlationId, head, sight } = collected!
    const decoded = Frame.decodeRequest(frame.subarray(4))
    const body = Result.isSuccess(decoded) ? decoded.success.body : undefined
    const facts = body === undefined ? head : Inspect.requestFacts(api.name, body, head)
    const active = rules.meet(sight, facts)
    const entry = addEntry(sight, correlationId, facts, active)
    if (active === undefined || actsOnResponse(active)) {
      expectAnswer(entry, api, facts, active)
      up.write(frame, false, () => log.forwarded(entry))
      return
    }
    const { action } = active.rule
    switch (action.type) {
      case "dropRequest":
        rules.fire(active, entry)
        if (modeOf(active) === "realistic") up.lose()
        return
      case "resetBefore":
        rules.fire(active, entry)
        return reset()
      case "error":
        return answerInPlace(active, action.code, entry, api, facts, body)
      default:
        expectAnswer(entry, api, facts, undefined)
        return transmit("requests", frame, active, entry, () => log.forwarded(entry))
    }
  }

  const modeOf = ({ rule }: ActiveRule): Shared["mode"] => rule.mode ?? shared.mode

  const answerInPlace = (
    active: ActiveRule,
    name: number | keyof typeof errorCodes,
    entry: OpenEntry,
    api: ApiSchema,
    facts: Inspect.RequestFacts,
    body: Struct | undefined
  ): void => {
    const code = typeof name === "number" ? name : errorCodes[name]
    const response = Frame.encodeResponse(
      api.name as Frame.ApiName,
      entry.version,
      entry.correlationId,
      ErrorResponse.make(api.name as Frame.ApiName, entry.version, body ?? {}, code)
    )
    // A request that this codec cannot read is not answered, and the rule has not fired.
    if (body === undefined || Result.isFailure(response)) return reset()
    rules.fire(active, entry)
    if (!facts.isAnswered) return
    const send = () =>
      down.write(response.success, false, () =>
        log.answered(entry, {
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

  const transmit = (
    direction: Direction,
    frame: Buffer,
    active: ActiveRule,
    entry: OpenEntry,
    onSent: () => void
  ): void => {
    const lane = direction === "requests" ? up : down
    const { action } = active.rule
    if (action.type === "release") {
      if (shared.gates.release(action.gate) > 0) rules.fire(active, entry)
      return lane.write(frame, false, onSent)
    }
    rules.fire(active, entry)
    const isRealistic = modeOf(active) === "realistic"
    switch (action.type) {
      case "delay": {
        const deliver = keep(direction, frame, isRealistic, onSent)
        return shared.later(deliver, Duration.toMillis(action.duration))
      }
      case "hold":
        return shared.gates.hold(action.gate, keep(direction, frame, isRealistic, onSent))
      case "truncate":
        lane.write(frame.subarray(0, action.bytes), true, onSent)
        return cutOff(direction)
      case "corrupt":
        return lane.write(corrupted(frame, action.offset, action.xor), false, onSent)
      default:
        return lane.pace(frame, paceOf(action), onSent)
    }
  }

  /** Takes a frame out of its lane, or stops the lane before it, until it is to be delivered. */
  const keep = (
    direction: Direction,
    frame: Buffer,
    isRealistic: boolean,
    onSent: () => void
  ): () => void => {
    const lane = direction === "requests" ? up : down
    if (isRealistic) {
      const open = lane.barrier()
      lane.write(frame, false, onSent)
      return open
    }
    apart[direction] += 1
    return () => {
      apart[direction] -= 1
      lane.insert(frame, onSent)
      finish()
    }
  }

  const cutOff = (direction: Direction): void => {
    if (direction === "requests") {
      up.end()
      client.resetAndDestroy()
    } else {
      down.end()
      upstream.destroy()
    }
  }

  const decideResponse = (head: Buffer): Scanner.Decision => {
    if (head.length < 4) return "more"
    const request = pending.get(head.readInt32BE(0))
    if (request === undefined) return muted || clientGone ? "swallow" : "pass"
    if (request.readsAnswer || request.active !== undefined || request.followers.length > 0) {
      answered = request
      return "collect"
    }
    pending.delete(request.entry.correlationId)
    const delivered = !muted && !clientGone
    log.answered(request.entry, { ...noAnswerFacts, delivered, synthetic: false })
    if (!delivered) finish()
    return delivered ? "pass" : "swallow"
  }

  const onResponse = (frame: Buffer): void => {
    const request = answered!
    const { active, entry } = request
    pending.delete(entry.correlationId)
    log.answered(entry, { ...readAnswer(request, frame), delivered: false, synthetic: false })
    const deliver = () => {
      if (entry.answer !== null) entry.answer = { ...entry.answer, delivered: true } as Answer
    }
    if (active !== undefined && !muted) respond(frame, active, entry, deliver)
    else if (!muted && !clientGone) down.write(frame, false, deliver)
    for (const follower of request.followers) follower()
    finish()
  }

  const respond = (
    frame: Buffer,
    active: ActiveRule,
    entry: OpenEntry,
    deliver: () => void
  ): void => {
    switch (active.rule.action.type) {
      case "dropResponse":
        if (modeOf(active) === "realistic") muted = true
        return rules.fire(active, entry)
      case "mute":
        muted = true
        return rules.fire(active, entry)
      case "resetAfter":
        rules.fire(active, entry)
        return reset()
      default:
        return transmit("responses", frame, active, entry, deliver)
    }
  }

  const readAnswer = ({ api, entry, readsAnswer }: Pending, frame: Buffer) => {
    if (!readsAnswer || api === undefined) return noAnswerFacts
    const name = api.name as Frame.ApiName
    const decoded = Frame.decodeResponse(name, entry.version, frame.subarray(4))
    if (Result.isFailure(decoded)) return noAnswerFacts
    if (name === "Metadata") {
      learnTopics(shared.topicNames, decoded.success.body)
      return noAnswerFacts
    }
    return Inspect.responseFacts(decoded.success.body)
  }

  const requests = Scanner.make({
    leastBytes: 8,
    decide: decideRequest,
    onFrame: onRequest,
    onBytes: (bytes, midFrame) => {
      const entries = passing
      passing = []
      up.write(
        bytes,
        midFrame,
        entries.length === 0 ? undefined : () => {
          for (const entry of entries) log.forwarded(entry)
        }
      )
    }
  })
  const responses = Scanner.make({
    leastBytes: 4,
    decide: decideResponse,
    onFrame: onResponse,
    onBytes: (bytes, midFrame) => down.write(bytes, midFrame)
  })

  client.on("data", (chunk) => {
    const problem = client.destroyed ? null : requests.push(chunk)
    if (problem !== null) malformed(problem)
  })
  upstream.on("data", (chunk) => {
    const problem = upstream.destroyed ? null : responses.push(chunk)
    if (problem !== null) malformed(problem)
  })
  client.on("error", () => undefined)
  client.on("close", () => {
    clientGone = true
    options.onClientClose()
    if (apart.requests === 0 && !up.isWaiting()) upstream.end()
    if (upstream.closed) options.onClose()
  })
  upstream.on("error", () => {
    if (apart.responses === 0 && !down.isWaiting()) client.resetAndDestroy()
  })
  upstream.on("close", () => {
    pending.clear()
    finish()
    if (clientGone) options.onClose()
  })

  return {
    clientId: () => clientId,
    reset,
    block: (direction) => (direction === "requests" ? up : down).barrier()
  }
}

const corrupted = (frame: Buffer, offset: number, xor: number): Buffer => {
  const copy = Buffer.from(frame)
  const at = offset < 0 ? copy.length + offset : offset
  if (at >= 0 && at < copy.length) copy[at]! ^= xor
  return copy
}

/** Bandwidth is given out every 20 ms, so that a slow line trickles and does not burst. */
const bandwidthGapMillis = 20

const paceOf = (action: Action): Lane.Pace => {
  if (action.type === "bandwidth") {
    const bytes = Math.floor((action.bytesPerSecond * bandwidthGapMillis) / 1000)
    return bytes >= 1
      ? { pieceBytes: bytes, gapMillis: bandwidthGapMillis }
      : { pieceBytes: 1, gapMillis: 1000 / action.bytesPerSecond }
  }
  if (action.type !== "slice") return { pieceBytes: Infinity, gapMillis: 0 }
  return {
    pieceBytes: action.bytes,
    gapMillis: action.gap === undefined ? 0 : Duration.toMillis(action.gap)
  }
}

/** As many names as the largest cluster has topics; beyond it rules match on ids alone. */
const topicNamesMax = 100_000

const learnTopics = (names: Map<string, string>, metadata: Struct): void => {
  const { topics } = metadata
  if (!Array.isArray(topics)) return
  for (const topic of topics as ReadonlyArray<Struct>) {
    const { name, topicId } = topic
    if (typeof name !== "string" || typeof topicId !== "string") continue
    if (names.size < topicNamesMax) names.set(topicId, name)
  }
}
