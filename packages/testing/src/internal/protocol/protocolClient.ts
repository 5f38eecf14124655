/**
 * A small client on one socket, for tests and tools: one request, one answer, nothing hidden. It
 * retries nothing, follows no leader, and shares no code with any driver.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { createConnection, type Socket } from "node:net"
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
}

type Resume = (content: Result.Result<Buffer, ProtocolError>) => void

/**
 * Opens a connection that lives as long as the scope.
 */
export const connect = Effect.fnUntraced(function*(
  host: string,
  port: number,
  options: Options = {}
): Effect.fn.Return<ProtocolClient, ProtocolError, Scope.Scope> {
  const clientId = options.clientId ?? "kafka-once-protocol"
  const timeout = Duration.fromInputUnsafe(options.requestTimeout ?? "10 seconds")
  const failure = (problem: string) =>
    new ProtocolError({
      operation: "connect",
      reason: new NotConnected({ host, port, problem })
    })
  const socket = yield* Effect.acquireRelease(
    openSocket(host, port, failure),
    (socket) => Effect.sync(() => socket.destroy()),
    { interruptible: true }
  ).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(failure("no connection in time"))
    })
  )
  const waiting = new Map<number, Resume>()
  const state: { closed: ProtocolError | null; correlationId: number } = {
    closed: null,
    correlationId: 0
  }
  const close = (problem: string) => {
    state.closed ??= failure(problem)
    for (const resume of waiting.values()) resume(Result.fail(state.closed))
    waiting.clear()
    socket.destroy()
  }
  const split = FrameSplitter.make((content) => {
    const correlationId = content.readInt32BE(0)
    waiting.get(correlationId)?.(Result.succeed(content))
    waiting.delete(correlationId)
  })
  socket.on("data", (chunk) => {
    const problem = split(chunk)
    if (problem !== null) close(problem)
  })
  socket.on("error", (error) => close(error.message))
  socket.on("close", () => close("the connection was closed"))

  const request = Effect.fnUntraced(function*<Name extends ApiName>(
    api: Name,
    version: number,
    body: RequestBody<Name>
  ) {
    const correlationId = state.correlationId++
    const bytes = yield* Effect.fromResult(
      Frame.encodeRequest(api, { apiVersion: version, correlationId, clientId }, body)
    )
    const content = yield* Effect.callback<Buffer, ProtocolError>((resume) => {
      if (state.closed !== null) return resume(Effect.fail(state.closed))
      waiting.set(correlationId, (result) => resume(Effect.fromResult(result)))
      socket.write(bytes)
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

  return {
    request,
    sendRaw: (bytes) =>
      Effect.sync(() => {
        socket.write(bytes)
      })
  }
})

const openSocket = (host: string, port: number, failure: (problem: string) => ProtocolError) =>
  Effect.callback<Socket, ProtocolError>((resume) => {
    const socket = createConnection({ host, port, noDelay: true })
    const onError = (error: Error) => resume(Effect.fail(failure(error.message)))
    socket.once("error", onError)
    socket.once("connect", () => {
      socket.removeListener("error", onError)
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => {
      socket.destroy()
    })
  })
