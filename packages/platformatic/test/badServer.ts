/** Servers that speak some of Kafka's protocol, as a test says. */
import { Writer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AddressInfo, createServer, type Socket } from "node:net"

export interface Asked {
  readonly key: number
  readonly version: number
  readonly correlationId: number
  /** The request, with its header. */
  readonly bytes: Buffer
  readonly socket: Socket
}

export interface Server {
  readonly address: string
  readonly opened: () => number
  /** How many connections are open. */
  readonly open: () => number
}

/** Answers each request with what `answer` makes of it; `null` is no answer. */
export const listen = (
  answer: (asked: Asked) => Buffer | null
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Server & { readonly close: () => void }>((resume) => {
      const sockets = new Set<Socket>()
      let opened = 0
      const server = createServer((socket) => {
        opened += 1
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
        let rest: Buffer = Buffer.alloc(0)
        socket.on("data", (chunk) => {
          rest = Buffer.concat([rest, chunk])
          while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
            const frame = rest.subarray(4, 4 + rest.readInt32BE(0))
            rest = rest.subarray(4 + frame.length)
            const bytes = answer({
              key: frame.readInt16BE(0),
              version: frame.readInt16BE(2),
              correlationId: frame.readInt32BE(4),
              bytes: frame,
              socket
            })
            if (bytes !== null) socket.write(bytes)
          }
        })
      })
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({
          address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
          opened: () => opened,
          open: () => sockets.size,
          close: () => {
            for (const socket of sockets) socket.destroy()
            server.close()
          }
        })))
    }),
    ({ close }) => Effect.sync(close)
  )

/** A frame with its size, for a request. */
export const framed = ({ correlationId }: Asked, body: Writer | Buffer): Buffer => {
  const bytes = Buffer.isBuffer(body) ? body : body.buffer
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + bytes.length, 0)
  head.writeInt32BE(correlationId, 4)
  return Buffer.concat([head, bytes])
}

const everything = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 17, 18, 22, 24, 25, 26, 28, 36]

/** What ApiVersions is answered: everything, in all versions that there are or up to some. */
export const apiVersions = (
  asked: Asked,
  keys: ReadonlyArray<number | readonly [key: number, newest: number]> = everything
) => {
  const compact = asked.version >= 3
  const writer = Writer.create().appendInt16(0).appendArray(
    keys.map((each) => typeof each === "number" ? [each, 20] as const : each),
    (writer, [key, newest]) => writer.appendInt16(key).appendInt16(0).appendInt16(newest),
    compact,
    compact
  ).appendInt32(0)
  return framed(asked, compact ? writer.appendTaggedFields() : writer)
}

/** Metadata tells the ids of topics from version 10 on. */
const topicId = (writer: Writer, version: number): Writer =>
  version < 10 ? writer : writer.appendInt64(1n).appendInt64(2n)

/** A cluster of the server alone, which leads the one partition of a topic. */
export const metadata = (asked: Asked, topic: string): Buffer =>
  framed(
    asked,
    Writer.create().appendInt8(0).appendInt32(0).appendArray(
      [1],
      (writer, id) =>
        writer.appendInt32(id).appendString("127.0.0.1").appendInt32(Number(asked.socket.localPort))
          .appendString(null)
    ).appendString(null).appendInt32(1).appendArray(
      [topic],
      (writer, name) =>
        topicId(writer.appendInt16(0).appendString(name), asked.version).appendBoolean(false)
          .appendArray([0], (writer, id) =>
            writer.appendInt16(0).appendInt32(id).appendInt32(1).appendInt32(0)
              .appendArray([], () => {}).appendArray([], () => {}).appendArray([], () => {}))
          .appendInt32(0)
    ).appendInt32(0).appendTaggedFields()
  )
