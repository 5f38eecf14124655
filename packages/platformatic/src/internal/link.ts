/**
 * One connection to one broker: the client's, with what it lacks.
 *
 * - It is told whether a failed request was written at all.
 * - Each request has a limit of its own. A request without an answer closes the connection: the
 *   broker answers in order, so nothing behind it would be answered either.
 * - What a broker would not read yet, because of a quota, is held back.
 * - A server that does not speak Kafka's protocol is told before its "frames" fill the memory.
 * - Closing it destroys its socket and clears every timer.
 */
import { DriverError, Failure } from "@kafka-once/core/KafkaDriver"
import {
  Connection,
  type ConnectionOptions,
  ConnectionStatuses,
  UnexpectedCorrelationIdError
} from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as net from "node:net"
import { type Address, keyOf } from "./address.ts"
import * as ApiVersions from "./apiVersions.ts"
import * as Authentication from "./authentication.ts"
import { answered, causesOf, notSent } from "./failure.ts"
import * as Frames from "./frames.ts"
import * as LinkFailure from "./linkFailure.ts"
import { type Message, versionOf } from "./message.ts"
import type { Settings } from "./settings.ts"
import * as Throttle from "./throttle.ts"

export type { Address }

export interface Link {
  readonly offered: ApiVersions.Offered
  readonly isOpen: () => boolean
  /** How many requests wait for their answers. */
  readonly load: () => number
  readonly request: <A>(
    message: Message<A>,
    timeoutMillis: number
  ) => Effect.Effect<A, DriverError>
  readonly close: Effect.Effect<void>
}

interface State extends LinkFailure.Progress {
  readonly connection: Connection
  readonly throttle: Throttle.Throttle
  /** How far the connection has come. */
  phase: LinkFailure.Progress["phase"]
  notKafka: boolean
  socketError: unknown
  load: number
  reauthentication: NodeJS.Timeout | undefined
}

// The client's own limits are never reached: this module has one for each step and each request.
const noLimitMillis = 2_147_483_647

/**
 * Connects, authenticates, and asks what the broker speaks. Every failure on the way is one of
 * `Connect`.
 */
export const open = (
  settings: Settings,
  address: Address,
  onClosed: (link: Link) => void
): Effect.Effect<Link, DriverError> =>
  Effect.callback((resume) => {
    if (!(address.port >= 1 && address.port <= 65_535)) {
      return resume(Effect.fail(notSent("Connect", `There is no port ${address.port}`)))
    }
    const state = stateOf(settings, address)
    const { connection } = state
    let timer: NodeJS.Timeout | undefined
    const limit = (millis: number) => {
      clearTimeout(timer)
      timer = setTimeout(
        () => fail(new LinkFailure.TimeUp(`No answer within ${millis} ms`)),
        millis
      )
    }
    const settle = (result: Effect.Effect<Link, DriverError>) => {
      clearTimeout(timer)
      resume(result)
    }
    const fail = (error: unknown) => {
      const failure = LinkFailure.ofOpening(state, error)
      destroy(state)
      settle(Effect.fail(failure))
    }

    limit(settings.connectionTimeoutMillis)
    const connected = (error: Error | null) => {
      if (error) return fail(error)
      state.phase = "asking"
      limit(settings.requestTimeoutMillis)
      ApiVersions.ask(connection, (error, offered) => {
        if (state.phase === "closed") return
        if (offered === null) return fail(error)
        state.phase = "open"
        const link = linkOf(state, offered)
        connection.once("close", () => {
          destroy(state)
          onClosed(link)
        })
        settle(Effect.succeed(link))
      })
    }
    try {
      connection.connect(address.host, address.port, connected)
      follow(state, () => limit(settings.authenticationTimeoutMillis))
    } catch (error) {
      // Node takes no such host. Only the end of the connection clears the client's timer.
      fail(error)
      connection.emit("close")
    }
    return Effect.sync(() => {
      clearTimeout(timer)
      destroy(state)
    })
  })

const stateOf = (settings: Settings, address: Address): State => {
  const state: State = {
    settings,
    address,
    connection: new Connection(
      settings.clientId,
      connectionOptions(settings, address, (millis) => planReauthentication(state, millis))
    ),
    throttle: Throttle.make(),
    phase: "beforeTcp",
    notKafka: false,
    socketError: null,
    load: 0,
    reauthentication: undefined
  }
  // Without a listener an error would end the program; what it means is told by the requests.
  state.connection.on("error", (error) => {
    state.socketError ??= error
    state.notKafka ||= causesOf(error).some((one) => one instanceof UnexpectedCorrelationIdError)
    if (state.phase === "open") destroy(state)
  })
  return state
}

const connectionOptions = (
  settings: Settings,
  { host }: Address,
  onAuthenticated: (sessionLifetimeMillis: number) => void
): ConnectionOptions => {
  const { sasl, tls } = settings
  return {
    connectTimeout: settings.connectionTimeoutMillis + settings.authenticationTimeoutMillis,
    requestTimeout: noLimitMillis,
    // How many requests wait for answers is bounded by how many sessions there are.
    maxInflights: noLimitMillis,
    ...sasl === null ? {} : { sasl: Authentication.optionsOf(sasl, onAuthenticated) },
    ...tls === null ? {} : {
      tls: {
        ...tls.ca === undefined
          ? {}
          : { ca: typeof tls.ca === "string" ? tls.ca : [...tls.ca] },
        ...tls.cert === undefined ? {} : { cert: tls.cert },
        ...tls.key === undefined ? {} : { key: Redacted.value(tls.key) },
        ...tls.passphrase === undefined ? {} : { passphrase: Redacted.value(tls.passphrase) },
        rejectUnauthorized: true
      },
      // A server name must not be an address (RFC 6066), and Node warns of it.
      tlsServerName: tls.serverName ?? net.isIP(host) === 0
    }
  }
}

/** Notes how far the connection comes. */
const follow = (state: State, onConnected: () => void): void => {
  const { connection, settings } = state
  const { socket } = connection
  const ready = settings.tls === null ? "connect" : "secureConnect"
  if (settings.tls !== null) {
    socket.prependOnceListener("connect", () => {
      state.phase = "duringTls"
    })
  }
  socket.prependOnceListener(ready, () => {
    state.phase = "authenticating"
    socket.setKeepAlive(true, keepAliveMillis)
    onConnected()
  })
  // The client begins to read when it is told of the connection, which is before this.
  socket.once(ready, () => guardReading(state))
}

/**
 * Looks at what arrives before the client does, which throws inside the socket's listener on a size
 * that it cannot use, and would end the program.
 */
const guardReading = (state: State): void => {
  const { socket } = state.connection
  const readers = socket.listeners("data")
  const isKafka = Frames.watch()
  socket.removeAllListeners("data")
  socket.on("data", (chunk: Buffer) => {
    try {
      if (!isKafka(chunk)) throw new Error("The server does not speak Kafka's protocol")
      for (const read of readers) read.call(socket, chunk)
    } catch (error) {
      state.notKafka = true
      socket.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  })
}

const keepAliveMillis = 60_000

const linkOf = (state: State, offered: ApiVersions.Offered): Link => {
  const link: Link = {
    offered,
    isOpen: () => state.phase === "open",
    load: () => state.load + state.throttle.held(),
    request: (message, timeoutMillis) =>
      state.throttle.hold(
        message.request,
        timeoutMillis,
        request(state, offered, message, timeoutMillis)
      ),
    close: close(state)
  }
  return link
}

const request = <A>(
  state: State,
  offered: ApiVersions.Offered,
  message: Message<A>,
  timeoutMillis: number
): Effect.Effect<A, DriverError> =>
  Effect.callback((resume) => {
    const version = versionOf(message, offered.versions)
    if (version === null) {
      return resume(Effect.fail(unsupported(message, offered.versions.get(message.key))))
    }
    let settled = false
    const settle = (result: Effect.Effect<A, DriverError>) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      state.load--
      resume(result)
    }
    state.load++
    let written = false
    const timer = limitTo(timeoutMillis, () => {
      const detail = `${keyOf(state.address)}: no answer within ${timeoutMillis} ms`
      const failure = written ? Failure.NoAnswer() : Failure.NotSent()
      // Whoever is told goes on at once, and must find the connection closed.
      destroy(state)
      settle(Effect.fail(new DriverError({ request: message.request, failure, detail })))
    })
    whenReady(state, () => {
      if (settled) return
      const withTags = version >= message.flexibleFrom
      let returned = false
      state.connection.send(
        message.key,
        version,
        () => message.write(version),
        (_id, _key, _version, reader) =>
          state.throttle.read(
            reader,
            message.throttle ?? "first",
            () => message.read(reader, version)
          ),
        withTags,
        withTags,
        (error, answer) => {
          // The cast is over `A | undefined`: without an error there is an answer.
          if (error === null) return settle(Effect.as(state.throttle.count, answer as A))
          const failed = LinkFailure.ofRequest(state, message.request, error, returned)
          if (failed.failure._tag === "NotKafka") destroy(state)
          settle(Effect.fail(failed))
        }
      )
      // What fails before the client's call returns was not written.
      returned = true
      written = true
    })
    return Effect.sync(() => {
      // What is on its way is left to its limit: if it is not answered the connection is of no use.
      if (!written) settle(Effect.interrupt)
    })
  })

/** At the client's edge, where an Effect's own time limit would cost each request a fiber. */
const limitTo = (millis: number, onReached: () => void): NodeJS.Timeout =>
  setTimeout(onReached, millis)

const unsupported = (
  { request, versions: [oldest, newest] }: Message<unknown>,
  broker: readonly [number, number] | undefined
): DriverError =>
  answered(
    request,
    unsupportedVersion,
    `This driver speaks versions ${oldest} to ${newest} of ${request}, the broker ` +
      (broker === undefined ? "none" : `${broker[0]} to ${broker[1]}`)
  )

const unsupportedVersion = 35

/** A broker closes a connection that goes on with other requests while it authenticates anew. */
const whenReady = (state: State, run: () => void): void =>
  state.connection.status === ConnectionStatuses.REAUTHENTICATING
    ? state.connection.ready(run)
    : run()

const planReauthentication = (state: State, lifetimeMillis: number): void => {
  clearTimeout(state.reauthentication)
  if (lifetimeMillis <= 0 || state.phase === "closed") return
  const { authenticationTimeoutMillis, reauthenticationThresholdMillis } = state.settings
  const early = Math.min(reauthenticationThresholdMillis, lifetimeMillis / 2)
  state.reauthentication = setTimeout(() => {
    state.connection.reauthenticate()
    // Done, it is planned anew; not done in time, the connection is of no use.
    state.reauthentication = setTimeout(() => destroy(state), authenticationTimeoutMillis)
  }, Math.min(lifetimeMillis - early, noLimitMillis))
}

/** What waits for an answer is told by the client, when its socket has closed. */
const destroy = (state: State): void => {
  if (state.phase === "closed") return
  state.phase = "closed"
  clearTimeout(state.reauthentication)
  const { connection } = state
  // There is none where Node took no such host, although the client's types say so.
  const socket: net.Socket | undefined = connection.socket
  if (socket === undefined) return
  connection.close(() => {})
  // The client lets what is written go out first, and waits for a connection that is being made.
  socket.destroy()
  socket.on("error", () => {})
}

const closeMillis = 250

const close = (state: State): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const { socket } = state.connection
    if (socket.closed) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
    destroy(state)
  }).pipe(
    Effect.timeoutOption(closeMillis),
    Effect.asVoid
  )
