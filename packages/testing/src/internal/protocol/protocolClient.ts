/**
 * A small client on one socket, for tests and tools: one request, one answer, nothing hidden. It
 * retries nothing, follows no leader, and shares no code with any driver.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { createConnection, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import type { ApiName, RequestBody, ResponseBody } from "./frame.ts"
import * as Frame from "./frame.ts"
import * as FrameSplitter from "./frameSplitter.ts"
import { NotConnected, ProtocolError } from "./protocolError.ts"

export interface ProtocolClient {
  /**
   * Sends one request and waits for its answer. Requests may be sent without waiting for those
   * before them.
   */
  readonly request: <Name extends ApiName>(
    api: Name,
    version: number,
    body: RequestBody<Name>
  ) => Effect.Effect<ResponseBody<Name>, ProtocolError>
  /** Sends bytes as they are, and waits for nothing: for input that no client would send. */
  readonly sendRaw: (bytes: Uint8Array) => Effect.Effect<void>
}

export interface Options {
  readonly clientId?: string
  readonly requestTimeout?: Duration.Input
  /** The authorities to trust, as PEM, and the name on the certificate, if it is not the host. */
  readonly tls?:
    | { readonly ca: ReadonlyArray<string>; readonly serverName?: string | undefined }
    | undefined
}

type Resume = (content: Result.Result<Buffer, ProtocolError>) => void

interface State {
  readonly socket: Socket
  readonly clientId: string
  readonly timeout: Duration.Duration
  readonly failure: (problem: string) => ProtocolError
  readonly waiting: Map<number, Resume>
  closed: ProtocolError | null
  nextCorrelationId: number
}

/** Opens a connection that lives as long as the scope. */
export const connect = Effect.fnUntraced(function*(
  host: string,
  port: number,
  options: Options = {}
): Effect.fn.Return<ProtocolClient, ProtocolError, Scope.Scope> {
  const timeout = Duration.fromInputUnsafe(options.requestTimeout ?? "10 seconds")
  const failure = (problem: string) =>
    new ProtocolError({
      operation: "connect",
      reason: new NotConnected({ host, port, problem })
    })
  const socket = yield* Effect.acquireRelease(
    openSocket(host, port, options.tls, failure),
    (socket) => Effect.sync(() => socket.destroy()),
    { interruptible: true }
  ).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(failure("no connection in time"))
    })
  )
  const state: State = {
    socket,
    clientId: options.clientId ?? "kafka-once-protocol",
    timeout,
    failure,
    waiting: new Map(),
    closed: null,
    nextCorrelationId: 0
  }
  listen(state)
  return {
    request: (api, version, body) => request(state, api, version, body),
    sendRaw: (bytes) =>
      Effect.sync(() => {
        socket.write(bytes)
      })
  }
})

const listen = (state: State): void => {
  const { socket, waiting } = state
  const split = FrameSplitter.make((content) => {
    const correlationId = content.readInt32BE(0)
    const resume = waiting.get(correlationId)
    waiting.delete(correlationId)
    resume?.(Result.succeed(content))
  })
  socket.on("data", (chunk) => {
    const problem = split(chunk)
    if (problem !== null) close(state, problem)
  })
  socket.on("error", (error) => close(state, error.message))
  socket.on("close", () => close(state, "the connection was closed"))
}

const close = (state: State, problem: string): void => {
  state.closed ??= state.failure(problem)
  for (const resume of state.waiting.values()) resume(Result.fail(state.closed))
  state.waiting.clear()
  state.socket.destroy()
}

const request = Effect.fnUntraced(function*<Name extends ApiName>(
  state: State,
  api: Name,
  version: number,
  body: RequestBody<Name>
) {
  const { clientId, failure, timeout, waiting } = state
  const correlationId = state.nextCorrelationId++
  const bytes = yield* Effect.fromResult(
    Frame.encodeRequest(api, { apiVersion: version, correlationId, clientId }, body)
  )
  const content = yield* Effect.callback<Buffer, ProtocolError>((resume) => {
    if (state.closed !== null) return resume(Effect.fail(state.closed))
    waiting.set(correlationId, (result) => resume(Effect.fromResult(result)))
    state.socket.write(bytes)
    return Effect.sync(() => {
      waiting.delete(correlationId)
    })
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(failure(`no answer to ${api} in time`))
    })
  )
  const response = yield* Effect.fromResult(Frame.decodeResponse(api, version, content))
  return response.body as ResponseBody<Name>
})

const openSocket = (
  host: string,
  port: number,
  tls: Options["tls"],
  failure: (problem: string) => ProtocolError
) =>
  Effect.callback<Socket, ProtocolError>((resume) => {
    const address = { host, port, noDelay: true }
    const name = tls?.serverName === undefined ? {} : { servername: tls.serverName }
    const socket = tls === undefined
      ? createConnection(address)
      : connectTls({ ...address, ...name, ca: [...tls.ca] })
    const onError = (error: Error) => resume(Effect.fail(failure(error.message)))
    socket.once("error", onError)
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      socket.removeListener("error", onError)
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => {
      socket.destroy()
    })
  })
