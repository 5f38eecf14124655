/** What one connection through the proxy is made of, and how it ends. */
import type { Socket } from "node:net"
import type { Gates } from "./faultProxyGates.ts"
import type * as Inspect from "./faultProxyInspect.ts"
import type * as Lane from "./faultProxyLane.ts"
import type { Log, OpenEntry } from "./faultProxyLog.ts"
import type { ActiveRule, RequestSight, RuleBook } from "./faultProxyRuleBook.ts"
import type * as Scanner from "./faultProxyScanner.ts"
import type { Side } from "./faultProxySocket.ts"
import type { ApiSchema } from "./protocol/apiSchema.ts"

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

/** A request that the broker was given, or will be, and that it has not answered. */
export interface Pending {
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
export interface Collected {
  readonly sight: RequestSight
  readonly correlationId: number
  readonly api: ApiSchema
  readonly head: Inspect.RequestFacts
}

/** How long the answer to a request whose client has gone is waited for. */
const answerGraceMillis = 10_000

export const noAnswerFacts: Inspect.ResponseFacts = {
  errorCode: null,
  producerId: null,
  producerEpoch: null
}

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

export interface State extends Options {
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

export const reset = ({ brokerSide, clientSide }: State): void => {
  clientSide.reset()
  brokerSide.reset()
}

export const malformed = (state: State, problem: string): void => {
  state.onMalformed(problem)
  reset(state)
}

export const laneOf = (state: State, direction: Direction): Lane.Lane =>
  direction === "requests" ? state.up : state.down

/** Ends what is left of a connection once nothing waits in it any more. */
export const finish = (state: State): void => {
  const { apart, clientGone, down, pending, shared, up, upstream } = state
  if (clientGone && apart.requests === 0 && !up.isWaiting() && !upstream.writableEnded) {
    if (pending.size === 0) upstream.end()
    // What was held has just been given to the broker: its answer is worth knowing.
    else if (!state.lingering) shared.later(() => upstream.destroy(), answerGraceMillis)
    state.lingering = true
  }
  if (upstream.closed && apart.responses === 0) down.end()
}

export const modeOf = ({ shared }: State, { rule }: ActiveRule): Shared["mode"] =>
  rule.mode ?? shared.mode

export const noteDelivered = (entry: OpenEntry): void => {
  if (entry.answer !== null) entry.answer = { ...entry.answer, delivered: true }
}
