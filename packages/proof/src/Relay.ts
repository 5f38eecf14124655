/**
 * A relay for bytes that the fault proxy cannot look into, or for addresses that it has not.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/**
 * A relay that listens.
 *
 * @category models
 * @since 0.1.0
 */
export interface Relay {
  readonly port: number
  /** How many connections there were so far. */
  readonly opened: () => number
}

/**
 * Where it listens, and to where it leads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The broker's `host:port`. */
  readonly to: string
  readonly host?: string
  readonly port?: number
  /** What becomes of a piece of the broker's answers. */
  readonly answered?: (bytes: Buffer) => Buffer
}

/**
 * Listens until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const listen = (options: Options): Effect.Effect<Relay, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Relay & { readonly close: () => void }, Error>((resume) => {
      const sockets = new Set<Socket>()
      let opened = 0
      const [host, port] = options.to.split(":")
      const server = createServer((client) => {
        opened += 1
        const broker = connect({ host: host ?? "", port: Number(port) })
        for (const [one, other] of [[client, broker], [broker, client]] as const) {
          sockets.add(one)
          one.on("error", () => other.destroy())
          one.on("close", () => other.destroy())
        }
        client.pipe(broker)
        broker.on("data", (bytes) => client.write(options.answered?.(bytes) ?? bytes))
        broker.on("end", () => client.end())
      })
      server.on("error", (error) => resume(Effect.fail(error)))
      server.listen(
        { host: options.host ?? "127.0.0.1", port: options.port ?? 0 },
        () =>
          resume(Effect.succeed({
            port: (server.address() as AddressInfo).port,
            opened: () => opened,
            close: () => {
              for (const socket of sockets) socket.destroy()
              server.close()
            }
          }))
      )
    }),
    ({ close }) => Effect.sync(close)
  )
