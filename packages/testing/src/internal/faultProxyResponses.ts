/** What becomes of the answers on one connection. */
import * as Result from "effect/Result"
import * as Inspect from "./faultProxyInspect.ts"
import type { OpenEntry } from "./faultProxyLog.ts"
import type { ActiveRule } from "./faultProxyRuleBook.ts"
import type * as Scanner from "./faultProxyScanner.ts"
import {
  finish,
  modeOf,
  noAnswerFacts,
  noteDelivered,
  type Pending,
  reset,
  type Shared,
  type State
} from "./faultProxyState.ts"
import { transmit } from "./faultProxyTransmit.ts"
import * as Frame from "./protocol/frame.ts"

export const decideResponse = (state: State, head: Buffer): Scanner.Decision => {
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

export const passResponses = (state: State, bytes: Buffer, midFrame: boolean): void => {
  const entries = state.waiting
  if (entries.length === 0) return state.down.write(bytes, midFrame)
  state.waiting = []
  state.down.write(bytes, midFrame, () => {
    for (const entry of entries) noteDelivered(entry)
  })
}

export const onResponse = (state: State, frame: Buffer): void => {
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
