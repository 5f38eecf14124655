/** Servers that are not what they should be: told in bounded time, and left alone. */
import { assert, describe, it } from "@effect/vitest"
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import { Writer } from "@platformatic/kafka"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Platformatic from "../src/Platformatic.ts"
import * as BadServer from "./badServer.ts"
import { after, rows } from "./badServerRows.ts"

const { framed } = BadServer

const metadataKey = 3
const handshakeKey = 17
const authenticateKey = 36

const options = { requestTimeout: "500 millis", authenticationTimeout: "500 millis" } as const

/** How a session on a server fails; nothing of it may be left there. */
const failing = (
  answer: (asked: BadServer.Asked) => Buffer | null,
  more: Partial<Platformatic.Options> = {}
) =>
  Effect.gen(function*() {
    const server = yield* BadServer.listen(answer)
    const told = yield* Effect.scoped(
      DriverSteps.open("bad", { requestTimeoutMillis: 500 })
    ).pipe(
      Effect.flip,
      Effect.timeout("3 seconds"),
      Effect.map((error) => error._tag === "DriverError" ? DriverSteps.told(error) : String(error)),
      Effect.provide(Platformatic.layer({ brokers: [server.address], ...options, ...more }))
    )
    yield* DriverSteps.until(Effect.sync(server.open), (open) => open === 0)
    assert.strictEqual(server.open(), 0)
    return { told, opened: server.opened() }
  }).pipe(Effect.scoped)

const password = Redacted.make("secret")
const handshake = (asked: BadServer.Asked) =>
  framed(asked, Writer.create().appendInt16(0).appendArray([], () => {}, false, false))
/** Answers the first message of SCRAM, with the client's own nonce for `NONCE`. */
const authenticate = (text: string) => (asked: BadServer.Asked): Buffer | null => {
  if (asked.key !== authenticateKey) return asked.key === handshakeKey ? handshake(asked) : null
  const [, nonce = ""] = /,r=([\w-]+)/.exec(asked.bytes.toString("latin1")) ?? []
  return framed(
    asked,
    Writer.create().appendInt8(0).appendInt16(0).appendString(null)
      .appendBytes(Buffer.from(text.replace("NONCE", nonce))).appendInt64(0n)
      .appendTaggedFields()
  )
}

describe("a server that is no good broker", () => {
  it.live.each(rows)(
    "$0: told as $2",
    ([, answer, expected]) =>
      Effect.map(failing(answer), ({ told }) => assert.strictEqual(told, expected))
  )

  it.live.each(
    [
      ["nothing", "", "Connect: 58"],
      ["no parameters", "nonsense", "Connect: 58"],
      ["a nonce of its own", "r=other,s=c2FsdA==,i=4096", "Connect: 58"],
      ["no salt", "r=NONCE1,i=4096", "Connect: NotKafka"],
      ["two iterations", "r=NONCE1,s=c2FsdA==,i=2", "Connect: 58"],
      ["a thousand million iterations", "r=NONCE1,s=c2FsdA==,i=1000000000", "Connect: 58"],
      ["no proof of the server's", "r=NONCE1,s=c2FsdA==,i=4096", "Connect: 58"]
    ] as const
  )("authentication that is answered with %s fails once, and ends nothing else", (
    [, text, expected]
  ) =>
    Effect.gen(function*() {
      const { opened, told } = yield* failing(after(authenticate(text)), {
        sasl: { mechanism: "scram-sha-256", username: "app", password }
      })
      assert.strictEqual(told, expected)
      assert.strictEqual(opened, 1)
    }))

  it.live("authentication that is never answered is given up", () =>
    Effect.gen(function*() {
      const { told } = yield* failing(after(() => null), {
        sasl: { mechanism: "scram-sha-256", username: "app", password }
      })
      assert.strictEqual(told, "Connect: NoAnswer")
    }))

  it.live("a cluster of no brokers, and a topic that it did not ask for, are no crash", () =>
    Effect.gen(function*() {
      const server = yield* BadServer.listen(after((asked) =>
        asked.key === metadataKey
          ? framed(
            asked,
            Writer.create().appendInt8(0).appendInt32(0).appendArray([], () => {}).appendString(
              null
            )
              .appendInt32(-1).appendArray(
                ["other"],
                (writer, name) =>
                  writer.appendInt16(0).appendString(name).appendBoolean(false).appendArray(
                    [0],
                    (writer, partition) =>
                      writer.appendInt16(0).appendInt32(partition).appendInt32(5).appendInt32(0)
                        .appendArray([], () => {}).appendArray([], () => {})
                        .appendArray([], () => {})
                  ).appendInt32(0)
              ).appendInt32(0).appendTaggedFields()
          )
          : null
      ))
      const error = yield* KafkaDriver.pipe(
        Effect.flatMap(({ partitionCount }) => partitionCount("mine")),
        Effect.flip,
        Effect.provide(Platformatic.layer({ brokers: [server.address], ...options }))
      )
      assert.strictEqual(error._tag === "DriverError" ? DriverSteps.told(error) : "", "Metadata: 3")
    }).pipe(Effect.scoped))
})
