/**
 * One connection through the proxy: the client's socket, the broker's socket, and what the rules do
 * to the frames between them.
 */
import * as Lane from "./faultProxyLane.ts"
import { decideRequest, onRequest, passRequests } from "./faultProxyRequests.ts"
import { decideResponse, onResponse, passResponses } from "./faultProxyResponses.ts"
import * as Scanner from "./faultProxyScanner.ts"
import {
  type Direction,
  finish,
  laneOf,
  malformed,
  type Options,
  reset,
  type State
} from "./faultProxyState.ts"

export interface Connection {
  /** Resets both sockets at once. */
  readonly reset: () => void
  /** Lets nothing through in a direction until the returned function is called. */
  readonly block: (direction: Direction) => () => void
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
