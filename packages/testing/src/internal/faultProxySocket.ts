/** One side of a connection through the proxy, with TLS or without. */
import { createConnection, isIP, type Socket } from "node:net"
import { connect as connectTls, type SecureContext, TLSSocket } from "node:tls"
import type { Target } from "./faultProxyTarget.ts"

export interface Side {
  /** What is read and written. */
  readonly socket: Socket
  /** Resets the TCP connection at once, with what has not been sent. */
  readonly reset: () => void
}

/** A client's side; `context` has the certificate that it is shown. */
export const accept = (
  tcp: Socket,
  context: SecureContext | null,
  onFailed: (problem: string) => void
): Side => {
  if (context === null) return plain(tcp)
  const socket = new TLSSocket(tcp, { isServer: true, secureContext: context })
  const fail = (error: Error) => onFailed(`no TLS: ${error.message}`)
  socket.once("error", fail)
  socket.once("secure", () => socket.removeListener("error", fail))
  return secure(tcp, socket)
}

/** The broker's side. */
export const connect = ({ host, port, tls }: Target): Side => {
  const tcp = createConnection({ host, port, noDelay: true })
  if (tls === undefined) return plain(tcp)
  const servername = tls.serverName ?? (isIP(host) === 0 ? host : undefined)
  const named = servername === undefined ? {} : { servername }
  return secure(tcp, connectTls({ socket: tcp, host, ca: [...tls.ca], ...named }))
}

const plain = (socket: Socket): Side => ({
  socket,
  reset: () => {
    socket.resetAndDestroy()
  }
})

const secure = (tcp: Socket, socket: TLSSocket): Side => {
  // It is the socket above that is listened to.
  tcp.on("error", () => undefined)
  return {
    socket,
    reset: () => {
      tcp.resetAndDestroy()
      socket.destroy()
    }
  }
}
