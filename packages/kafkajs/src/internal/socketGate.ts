/**
 * The only way of one kafkajs client to the network.
 *
 * kafkajs opens sockets again on its own, also after `disconnect` (P3), and tells of a failed call
 * neither which request failed nor whether it was written. The gate owns every socket of a client:
 * it notes each request as it is written and each answer as it arrives, and once it is closed no
 * byte leaves and no socket opens.
 */
import type { ISocketFactory, ISocketFactoryArgs } from "kafkajs"
import * as net from "node:net"
import * as tls from "node:tls"
import * as Answer from "./answer.ts"
import * as Frames from "./frames.ts"

/** One request that was written, and its answer once there is one. */
export interface Exchange {
  readonly apiKey: number
  readonly apiVersion: number
  answer: Answer.Answer | null
}

/** What went over the network since a call of the driver began. */
export interface Call {
  readonly exchanges: Array<Exchange>
  /** The last failure of a socket, told apart by how far it had come. */
  socketFailure: "beforeTcp" | "duringTls" | "connected" | null
  notKafka: boolean
}

export interface SocketGate {
  readonly socketFactory: ISocketFactory
  /** Begins a call: what is written from now on belongs to it. */
  readonly startCall: () => Call
  /** Whether the broker may have registered something since {@link startTransaction}. */
  readonly mayBeRegistered: () => boolean
  readonly startTransaction: () => void
  readonly isClosed: () => boolean
  readonly openSockets: () => number
  /** Ends every connection, and is done when kafkajs knows; the next call opens new ones. */
  readonly reset: () => Promise<void>
  readonly close: () => void
}

const closeOf = (socket: net.Socket): Promise<void> =>
  new Promise((resolve) => socket.once("close", () => resolve()))

const keepAliveMillis = 60_000

/** AddPartitionsToTxn and AddOffsetsToTxn, one of which comes before everything else. */
const registers = new Set([24, 25])

/** A registration acts as a whole or not at all. */
const mayHaveActed = ({ answer }: Exchange): boolean =>
  answer?._tag !== "Read" || Answer.firstFailure(answer.codes) === 0

/** Requests that timed out may still be answered; so many of them are remembered per socket. */
const mostUnanswered = 1_000

export const make = (): SocketGate => {
  const state: GateState = { call: newCall(), registrations: [], closed: false, sockets: new Set() }
  return {
    socketFactory: (target) => {
      if (state.closed) throw new Error("The session is closed")
      return watch(state, connect(target), Boolean(target.ssl))
    },
    startCall: () => {
      state.call = newCall()
      return state.call
    },
    mayBeRegistered: () => state.registrations.some(mayHaveActed),
    startTransaction: () => {
      state.registrations = []
    },
    isClosed: () => state.closed,
    openSockets: () => state.sockets.size,
    reset: async () => {
      // A socket that is destroyed always closes, in the next turn of the event loop.
      const closed = [...state.sockets].map(closeOf)
      destroyAll(state, "A request had no answer")
      await Promise.all(closed)
    },
    close: () => {
      state.closed = true
      destroyAll(state, "The session is closed")
    }
  }
}

const destroyAll = ({ sockets }: GateState, why: string): void => {
  // The error makes kafkajs reject what waits for an answer and clear its timers.
  for (const socket of sockets) socket.destroy(new Error(why))
}

interface GateState {
  call: Call
  /** One registration that may have acted is enough to know of, beside the last one. */
  registrations: ReadonlyArray<Exchange>
  closed: boolean
  readonly sockets: Set<net.Socket>
}

const newCall = (): Call => ({ exchanges: [], socketFailure: null, notKafka: false })

const connect = ({ host, onConnect, port, ssl }: ISocketFactoryArgs): net.Socket => {
  // A server name must not be an address (RFC 6066), and Node warns of it.
  const serverName = net.isIP(host) === 0 ? { servername: host } : {}
  const socket = ssl
    ? tls.connect({ host, port, ...serverName, ...ssl }, onConnect)
    : net.connect({ host, port }, onConnect)
  socket.setKeepAlive(true, keepAliveMillis)
  socket.setNoDelay(true)
  return socket
}

const watch = (state: GateState, socket: net.Socket, secure: boolean): net.Socket => {
  const unanswered = new Map<number, Exchange>()
  let reached: "beforeTcp" | "duringTls" | "connected" = "beforeTcp"
  let heard = false
  let toldOfEnd = false
  state.sockets.add(socket)
  socket.once("connect", () => {
    reached = secure ? "duringTls" : "connected"
  })
  socket.once("secureConnect", () => {
    reached = "connected"
  })
  socket.once("end", () => {
    toldOfEnd ||= reached === "connected"
  })
  socket.once("data", () => {
    heard = true
  })
  socket.once("error", (error) => {
    // In TLS 1.3 a server that wants a certificate says so when the client's handshake is done.
    state.call.socketFailure = !heard && isOfTls(error) ? "duringTls" : reached
    toldOfEnd = true
  })
  socket.once("close", () => {
    state.sockets.delete(socket)
    // kafkajs does not listen to "close", and ignores an "end" before it is connected: it would
    // wait for its time-outs, or for ever.
    if (!toldOfEnd) socket.emit("error", new Error("The connection closed"))
  })
  watchAnswers(state, socket, unanswered)
  watchRequests(state, socket, unanswered)
  endAtOnce(socket)
  return socket
}

const isOfTls = (error: Error): boolean =>
  "code" in error && typeof error.code === "string" && error.code.startsWith("ERR_SSL_")

const watchAnswers = (
  state: GateState,
  socket: net.Socket,
  unanswered: Map<number, Exchange>
): void => {
  const frames = Frames.make({
    wanted: (correlationId) => {
      const exchange = unanswered.get(correlationId)
      return exchange === undefined ? null : Answer.isRead(exchange.apiKey)
    },
    answered: (correlationId, body) => {
      const exchange = unanswered.get(correlationId)
      if (exchange === undefined) return
      unanswered.delete(correlationId)
      exchange.answer = body === null
        ? { _tag: "NotRead" }
        : Answer.read(exchange.apiKey, exchange.apiVersion, body)
    }
  })
  // This listener is older than kafkajs': an answer is noted before kafkajs settles its promise.
  socket.on("data", (chunk: Buffer) => {
    if (state.closed || frames.push(chunk)) return
    state.call.notKafka = true
    socket.destroy(new Error("The server does not speak Kafka's protocol"))
  })
}

const watchRequests = (
  state: GateState,
  socket: net.Socket,
  unanswered: Map<number, Exchange>
): void => {
  const write = socket.write.bind(socket)
  // kafkajs writes each request as one buffer: size, api key, api version, correlation id.
  const watched = (...args: Parameters<typeof write>): boolean => {
    if (state.closed) return false
    const chunk: unknown = args[0]
    if (Buffer.isBuffer(chunk) && chunk.length >= 12) {
      const exchange: Exchange = {
        apiKey: chunk.readInt16BE(4),
        apiVersion: chunk.readInt16BE(6),
        answer: null
      }
      state.call.exchanges.push(exchange)
      if (registers.has(exchange.apiKey)) {
        state.registrations = [...state.registrations.filter(mayHaveActed).slice(0, 1), exchange]
      }
      unanswered.set(chunk.readInt32BE(8), exchange)
      for (const oldest of unanswered.keys()) {
        if (unanswered.size <= mostUnanswered) break
        unanswered.delete(oldest)
      }
    }
    return write(...args)
  }
  // The cast is over the overloads alone: what is given is passed on as it is.
  socket.write = watched as typeof socket.write
}

/**
 * kafkajs ends a socket that has not connected in time; a socket that is still connecting would
 * then live on until the operating system gives up, minutes later.
 */
const endAtOnce = (socket: net.Socket): void => {
  const end = socket.end.bind(socket)
  const ended = (...args: Parameters<typeof end>): net.Socket =>
    socket.connecting ? socket.destroy() : end(...args)
  socket.end = ended as typeof socket.end
}
