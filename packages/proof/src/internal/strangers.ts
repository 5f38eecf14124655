/**
 * Servers that are no brokers.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AddressInfo, createServer, type Socket } from "node:net"

/** Listens on a free port and does with each connection what a stranger does; gives its address. */
export const listen = (
  behave: (socket: Socket) => void
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        behave(socket)
      })
      const close = () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      }
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({ port: (server.address() as AddressInfo).port, close })))
    }),
    ({ close }) =>
      Effect.sync(close)
  ).pipe(Effect.map(({ port }) =>
    `127.0.0.1:${port}`
  ))

/** An HTTP server answers what it cannot read with a page. */
export const http = (socket: Socket): void => {
  socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
}

/** A server that takes everything and says nothing. */
export const silent = (socket: Socket): void => {
  socket.resume()
}

/** A server that hangs up at the first byte. */
export const hangsUp = (socket: Socket): void => {
  socket.on("data", () => socket.destroy())
}
