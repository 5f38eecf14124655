/** All connections of a proxy, and what is done to all of them at once. */
import * as Effect from "effect/Effect"
import type { Socket } from "node:net"
import type { SecureContext } from "node:tls"
import * as Connection from "./faultProxyConnection.ts"
import * as ProxySocket from "./faultProxySocket.ts"
import type { Direction, Shared } from "./faultProxyState.ts"
import type { Target } from "./faultProxyTarget.ts"

export interface Connections {
  readonly open: Effect.Effect<ReadonlyMap<string, number>>
  readonly opened: Effect.Effect<number>
  readonly malformed: Effect.Effect<ReadonlyArray<string>>
  readonly awaitOpen: (count: number, clientId?: string) => Effect.Effect<void>
}

export interface Network {
  readonly connections: Connections
  /** For one of the proxy's ports, by its position. */
  readonly accept: (position: number) => (client: Socket) => void
  readonly setTarget: (position: number, target: Target) => void
  readonly refuse: () => void
  readonly blackhole: (direction: "both" | Direction) => void
  readonly heal: () => void
  readonly resetAll: () => number
}

interface State {
  readonly shared: Shared
  /** The certificate that clients are shown. */
  readonly context: SecureContext | null
  /** Connections whose client is there, by what it calls itself. */
  readonly clients: Map<number, string>
  /** A connection whose client has gone lives on as long as a request of it is held. */
  readonly live: Map<number, Connection.Connection>
  readonly waiters: Set<() => void>
  readonly malformed: Array<string>
  readonly blocked: Set<Direction>
  openers: Array<() => void>
  /** Where the connections of each port lead. */
  readonly targets: Map<number, Target>
  refusing: boolean
  opened: number
}

/** More than anybody reads. */
const malformedMax = 1000

export const make = (shared: Shared, context: SecureContext | null): Network => {
  const state: State = {
    shared,
    context,
    clients: new Map(),
    live: new Map(),
    waiters: new Set(),
    malformed: [],
    blocked: new Set(),
    openers: [],
    targets: new Map(),
    refusing: false,
    opened: 0
  }
  return {
    connections: makeConnections(state),
    accept: (position) => (client) => accept(state, position, client),
    setTarget: (position, target) => {
      state.targets.set(position, target)
    },
    refuse: () => {
      state.refusing = true
    },
    blackhole: (direction) => {
      if (direction !== "both") return block(state, direction)
      block(state, "requests")
      block(state, "responses")
    },
    heal: () => {
      state.refusing = false
      state.blocked.clear()
      const ready = state.openers
      state.openers = []
      for (const open of ready) open()
    },
    resetAll: () => {
      const all = [...state.live.values()]
      for (const connection of all) connection.reset()
      return all.length
    }
  }
}

const block = ({ blocked, live, openers }: State, direction: Direction): void => {
  if (blocked.has(direction)) return
  blocked.add(direction)
  for (const connection of live.values()) openers.push(connection.block(direction))
}

const accept = (state: State, position: number, client: Socket): void => {
  const { blocked, clients, live, malformed, openers, shared, targets } = state
  const target = targets.get(position)
  if (state.refusing || target === undefined) {
    client.on("error", () => undefined)
    client.resetAndDestroy()
    return
  }
  state.opened += 1
  const id = state.opened
  clients.set(id, "")
  const onMalformed = (problem: string) => {
    if (malformed.length < malformedMax) malformed.push(problem)
  }
  const connection = Connection.make({
    shared,
    clientSide: ProxySocket.accept(client, state.context, onMalformed),
    brokerSide: ProxySocket.connect(target),
    id,
    onClientId: (clientId) => {
      clients.set(id, clientId)
      changed(state)
    },
    onMalformed,
    onClientClose: () => {
      clients.delete(id)
      changed(state)
    },
    onClose: () => {
      live.delete(id)
    }
  })
  live.set(id, connection)
  for (const direction of blocked) openers.push(connection.block(direction))
  changed(state)
}

const changed = ({ waiters }: State): void => {
  for (const waiter of waiters) waiter()
}

const makeConnections = (state: State): Connections => {
  const { clients, malformed, waiters } = state
  const count = (clientId: string | undefined): number =>
    clientId === undefined
      ? clients.size
      : [...clients.values()].filter((name) => name === clientId).length
  return {
    open: Effect.sync(() => {
      const counts = new Map<string, number>()
      for (const name of clients.values()) counts.set(name, (counts.get(name) ?? 0) + 1)
      return counts
    }),
    opened: Effect.sync(() => state.opened),
    malformed: Effect.sync(() => [...malformed]),
    awaitOpen: (wanted, clientId) =>
      Effect.callback<void>((resume) => {
        const look = () => {
          if (count(clientId) !== wanted) return
          waiters.delete(look)
          resume(Effect.void)
        }
        waiters.add(look)
        look()
        return Effect.sync(() => {
          waiters.delete(look)
        })
      })
  }
}
