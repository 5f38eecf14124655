/** Servers that do one thing wrong, and how a session on one is told of it. */
import { Writer } from "@platformatic/kafka"
import { apiVersions, type Asked, framed } from "./badServer.ts"

const coordinatorKey = 10

const size = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** Answers ApiVersions well, and everything else as the test says. */
export const after = (answer: (asked: Asked) => Buffer | null) => (asked: Asked) =>
  asked.key === 18 ? apiVersions(asked) : answer(asked)

/** Where the coordinator is said to be. */
export const coordinatorAt = (asked: Asked, host: string, port: number): Buffer =>
  framed(
    asked,
    Writer.create().appendInt8(0).appendInt32(0).appendInt16(0).appendString(null).appendInt32(1)
      .appendString(host).appendInt32(port).appendTaggedFields()
  )

export type Row = readonly [
  does: string,
  answer: (asked: Asked) => Buffer | null,
  told: string
]

export const rows: ReadonlyArray<Row> = [
  ["answers with a size of 2 GB", () => size(2 ** 31 - 1), "Connect: NotKafka"],
  ["answers with a negative size", () => size(-5), "Connect: NotKafka"],
  ["answers with an empty frame", () => size(0), "Connect: NotKafka"],
  [
    "answers with a negative size, and more",
    () => Buffer.concat([size(-5), Buffer.alloc(16)]),
    "Connect: NotKafka"
  ],
  [
    "answers what nobody asked",
    (asked) => framed({ ...asked, correlationId: 77 }, Buffer.alloc(6)),
    "Connect: NotKafka"
  ],
  ["answers too little", (asked) => framed(asked, Buffer.alloc(1)), "Connect: NotKafka"],
  [
    "answers with an array of 2^31 entries",
    (asked) => framed(asked, Buffer.from([0, 0, 255, 255, 255, 255, 7])),
    "Connect: NotKafka"
  ],
  [
    "cuts its answer off and hangs up",
    (asked) => {
      asked.socket.end(apiVersions(asked).subarray(0, 20))
      return null
    },
    "Connect: NoAnswer"
  ],
  ["cuts its answer off", (asked) => apiVersions(asked).subarray(0, 20), "Connect: NoAnswer"],
  ["never answers", () => null, "Connect: NoAnswer"],
  [
    "speaks no version of ApiVersions that is known",
    (asked) => framed(asked, Buffer.from([0, 35, 0, 0, 0, 0])),
    "Connect: 35"
  ],
  ["knows no transactions", (asked) => apiVersions(asked, [18, 3]), "FindCoordinator: 35"],
  ["goes silent", after(() => null), "FindCoordinator: NoAnswer"],
  [
    "hangs up later",
    after(({ socket }) => {
      socket.destroy()
      return null
    }),
    "FindCoordinator: NoAnswer"
  ],
  [
    "answers a later request with garbage",
    after((asked) => framed(asked, Buffer.alloc(3, 255))),
    "FindCoordinator: NotKafka"
  ],
  [
    "answers twice",
    after((asked) => {
      const answer = coordinatorAt(asked, "127.0.0.1", Number(asked.socket.localPort))
      return asked.key === coordinatorKey ? Buffer.concat([answer, answer]) : null
    }),
    "InitProducerId: NotKafka"
  ],
  [
    "says that the coordinator is at a host that cannot be one",
    after((asked) => coordinatorAt(asked, "a\0b", 9_092)),
    "Connect: NotSent"
  ],
  ...[0, -1, 70_000].map((port) =>
    [
      `says that the coordinator is at port ${port}`,
      after((asked: Asked) => coordinatorAt(asked, "127.0.0.1", port)),
      "Connect: NotSent"
    ] as const
  )
]
