import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as FaultProxy from "../src/FaultProxy.ts"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import * as FaultProxySchedule from "../src/FaultProxySchedule.ts"
import * as Frame from "../src/internal/protocol/frame.ts"
import * as FrameSplitter from "../src/internal/protocol/frameSplitter.ts"
import * as ProtocolClient from "../src/internal/protocol/protocolClient.ts"

const problem = (input: unknown) =>
  Effect.map(Effect.flip(FaultProxyRule.decode(input)), (error) => {
    assert.strictEqual(error.reason._tag, "InvalidRule")
    return error.message
  })

/** A server that answers every frame with what a function makes of it; `null` is no answer. */
const serve = (answer: (content: Buffer) => Buffer | null) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly host: string; readonly port: number; readonly close: () => void }>(
      (resume) => {
        const server = createServer((socket) => {
          const split = FrameSplitter.make((content) => {
            const bytes = answer(content)
            if (bytes !== null) socket.write(bytes)
          }, 0)
          socket.on("error", () => undefined)
          socket.on("data", (chunk) => {
            if (split(chunk) !== null) socket.destroy()
          })
        })
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          resume(Effect.succeed({ host: "127.0.0.1", port, close: () => server.close() }))
        })
      }
    ),
    ({ close }) => Effect.sync(close)
  )

const apiVersions = { errorCode: 0, apiKeys: [{ apiKey: 0, minVersion: 0, maxVersion: 9 }] }

/** Answers ApiVersions as a broker does, and everything else with an empty ListGroups. */
const broker = serve((content) => {
  const { api, header } = Frame.decodeRequestUnsafe(content)
  if (api === "Produce") return null
  const body = api === "ApiVersions" ? apiVersions : {}
  return Frame.encodeResponseUnsafe(api, header.apiVersion, header.correlationId, body)
})

describe("a rule that cannot be used", () => {
  it.effect("names the API, action, code or field that does not exist", () =>
    Effect.gen(function*() {
      const drop = { type: "dropRequest" }
      assert.include(
        yield* problem({ match: { api: "EndTx" }, action: drop }),
        'there is no API "EndTx"; did you mean EndTxn?'
      )
      assert.include(
        yield* problem({ name: "mine", match: {}, action: { type: "drop" } }),
        'Rule "mine" cannot be used: there is no action "drop", only dropRequest,'
      )
      assert.include(
        yield* problem({ match: { api: "EndTxn" }, action: { type: "error", code: "FENCED" } }),
        'there is no error code "FENCED"; did you mean'
      )
      assert.include(
        yield* problem({ match: { transactionID: "a" }, action: drop }),
        '["match"]["transactionID"]'
      )
      assert.include(yield* problem({ match: { nth: 0 }, action: drop }), '["match"]["nth"]')
      assert.include(
        yield* problem({ match: {}, action: { type: "delay", duration: "2s" } }),
        '["action"]["duration"]'
      )
      assert.include(yield* problem("dropRequest"), "a rule is an object")
      assert.include(yield* problem({ match: {} }), "`action` is an object with a `type`")
    }))

  it.effect("is refused when it could never fire", () =>
    Effect.gen(function*() {
      const drop = { type: "dropRequest" }
      assert.include(
        yield* problem({ match: { api: "Produce", commit: true }, action: drop }),
        "`commit` is about EndTxn alone"
      )
      assert.include(
        yield* problem({ match: { nth: [3, 2] }, action: drop }),
        "nth [3, 2] counts backwards"
      )
      assert.include(
        yield* problem({ match: { api: "EndTxn", version: 9 }, action: drop }),
        "EndTxn has versions 0 to 5, not 9"
      )
      assert.include(
        yield* problem({ match: { phase: "response" }, action: drop }),
        "dropRequest has no phase"
      )
      assert.include(
        yield* problem({ match: {}, action: { type: "error", code: 15 } }),
        "name the API"
      )
    }))

  it.effect("keeps a proxy from opening, and is refused by one that runs", () =>
    Effect.gen(function*() {
      const rule = { match: { api: "EndTx" }, action: { type: "mute" } } as never
      const made = yield* Effect.flip(Effect.scoped(FaultProxy.make({ rules: [rule] })))
      const proxy = yield* FaultProxy.make()
      const injected = yield* Effect.flip(Effect.scoped(proxy.inject(rule)))
      assert.strictEqual(made.reason._tag, "InvalidRule")
      assert.strictEqual(injected.reason._tag, "InvalidRule")
    }))
})

describe("a schedule", () => {
  it.effect("is read back as it was written, from a file too", () =>
    Effect.gen(function*() {
      const schedule = {
        seed: 42,
        mode: "realistic" as const,
        rules: [
          FaultProxyRule.delay({ api: "EndTxn", producerId: 3n, nth: [1, 2] }, "1 second"),
          FaultProxyRule.slice({ api: "Fetch", phase: "response" }, 1, "5 millis"),
          FaultProxyRule.error({ api: "Produce", topic: "a" }, "NOT_ENOUGH_REPLICAS"),
          { ...FaultProxyRule.mute({ clientId: "a", probability: 0.5 }), optional: true }
        ]
      }
      const folder = mkdtempSync(join(tmpdir(), "kafka-once-schedule-"))
      const path = join(folder, "schedule.json")
      writeFileSync(path, FaultProxySchedule.encode(schedule))
      const back = yield* FaultProxySchedule.fromFile(path)
      rmSync(folder, { recursive: true })
      assert.deepStrictEqual(back, schedule)
    }))

  it.effect("that is none says where it is wrong", () =>
    Effect.gen(function*() {
      const message = (text: string) =>
        Effect.map(Effect.flip(FaultProxySchedule.decode(text, "faults.json")), (error) => {
          assert.strictEqual(error.reason._tag, "InvalidSchedule")
          return error.message
        })
      const good = `{ "match": {}, "action": { "type": "mute" } }`
      const bad = `{ "match": { "api": "EndTx" }, "action": { "type": "mute" } }`
      assert.include(
        yield* message("{ rules: }"),
        "faults.json is not a fault schedule: SyntaxError"
      )
      assert.include(yield* message("[]"), "Expected object")
      assert.include(yield* message(`{ "rule": [] }`), "rule")
      assert.include(
        yield* message(`{ "rules": [${good}, ${bad}] }`),
        'rules[1]: Rule {"match":{"api":"EndTx"}'
      )
      const absent = yield* Effect.flip(FaultProxySchedule.fromFile("/does/not/exist.json"))
      assert.include(absent.message, "ENOENT")
    }))

  it.effect("draws the same frames from the same seed, and others from another", () =>
    Effect.gen(function*() {
      const run = Effect.fnUntraced(function*(seed: number) {
        const target = yield* broker
        const match = { api: "ListGroups", probability: 0.5 } as const
        const proxy = yield* FaultProxy.make({
          target,
          seed,
          rules: [FaultProxyRule.error(match, "COORDINATOR_NOT_AVAILABLE")]
        })
        const client = yield* ProtocolClient.connect(proxy.host, proxy.port)
        return yield* Effect.forEach(
          Array.from({ length: 40 }),
          () => Effect.map(client.request("ListGroups", 3, {}), ({ errorCode }) => errorCode)
        )
      }, Effect.scoped)
      const first = yield* run(1)
      assert.deepStrictEqual(yield* run(1), first)
      assert.notDeepEqual(yield* run(2), first)
      assert.includeMembers([...first], [0, 15])
    }))
})

describe("a target", () => {
  const connect = (target: { readonly host: string; readonly port: number }) =>
    Effect.scoped(FaultProxy.make({ target })).pipe(
      Effect.andThen(Effect.die("the proxy took a target that is no broker")),
      Effect.flip
    )

  it.effect("at which nothing listens is unreachable", () =>
    Effect.gen(function*() {
      const { host, port } = yield* Effect.scoped(broker)
      const error = yield* connect({ host, port })
      assert.strictEqual(error.reason._tag, "TargetUnreachable")
      assert.include(error.message, "ECONNREFUSED")
    }))

  it.effect("that answers something else is not Kafka", () =>
    Effect.gen(function*() {
      const target = yield* serve(() => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))
      const error = yield* connect(target)
      assert.strictEqual(error.reason._tag, "NotKafka")
      assert.include(error.message, "a frame of 1213486160 bytes")
    }))

  it.effect("that offers no Produce is not Kafka", () =>
    Effect.gen(function*() {
      const target = yield* serve((content) =>
        Frame.encodeResponseUnsafe("ApiVersions", 0, content.readInt32BE(4), { errorCode: 35 })
      )
      const error = yield* connect(target)
      assert.strictEqual(error.reason._tag, "NotKafka")
    }))

  it.effect("that is not known yet: clients are reset until it is", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make()
      const early = yield* Effect.flip(
        Effect.andThen(
          ProtocolClient.connect(proxy.host, proxy.port),
          (client) => client.request("ListGroups", 3, {})
        )
      )
      assert.match(early.message, /closed|ECONNRESET/)
      yield* proxy.connectTo(yield* broker)
      const client = yield* ProtocolClient.connect(proxy.host, proxy.port)
      yield* client.request("ListGroups", 3, {})
    }))

  it.effect("cannot share the proxy's port", () =>
    Effect.gen(function*() {
      const { port } = yield* broker
      const error = yield* Effect.flip(Effect.scoped(FaultProxy.make({ port })))
      assert.strictEqual(error.reason._tag, "ListenFailed")
      assert.include(error.message, "EADDRINUSE")
    }))
})

describe("bytes", () => {
  const sizes = [
    ["a size of 0", [0, 0, 0, 0]],
    ["a negative size", [0xff, 0xff, 0xff, 0xff]],
    ["a size above 100 MB, as in TLS", [0x16, 0x03, 0x01, 0x02, 0x00]],
    ["a client id longer than its frame", [0, 0, 0, 10, 0, 3, 0, 0, 0, 0, 0, 1, 0x7f, 0xff]]
  ] as const
  for (const [title, bytes] of sizes) {
    it.effect(`${title}: the connection is reset, and the proxy lives on`, () =>
      Effect.gen(function*() {
        const proxy = yield* FaultProxy.make({ target: yield* broker })
        const hostile = yield* ProtocolClient.connect(proxy.host, proxy.port)
        yield* proxy.connections.awaitOpen(1)
        yield* hostile.sendRaw(Buffer.from(bytes))
        yield* proxy.connections.awaitOpen(0)
        const problems = yield* proxy.connections.malformed
        assert.strictEqual(problems.length, 1)
        const client = yield* ProtocolClient.connect(proxy.host, proxy.port)
        yield* client.request("ListGroups", 3, {})
      }))
  }

  it.effect("an API that Kafka 4.4 does not have passes, and is logged by its key", () =>
    Effect.gen(function*() {
      const target = yield* serve((content) =>
        content.readInt16BE(0) === 18
          ? Frame.encodeResponseUnsafe("ApiVersions", 0, content.readInt32BE(4), apiVersions)
          : null
      )
      const proxy = yield* FaultProxy.make({ target })
      const client = yield* ProtocolClient.connect(proxy.host, proxy.port)
      yield* client.sendRaw(Buffer.from([0, 0, 0, 10, 0x03, 0xe7, 0, 0, 0, 0, 0, 9, 0xff, 0xff]))
      const entry = yield* proxy.log.awaitFrame({ phase: "forwarded" })
      assert.strictEqual(entry.api, "api 999")
      assert.strictEqual(entry.correlationId, 9)
    }))

  it.effect("after SaslHandshake v0 tokens without a header pass both ways", () =>
    Effect.gen(function*() {
      const target = yield* serve((content) => {
        if (content.readInt16BE(0) === 18) {
          return Frame.encodeResponseUnsafe("ApiVersions", 0, content.readInt32BE(4), apiVersions)
        }
        if (content.readInt16BE(0) !== 17) return Buffer.from([0, 0, 0, 4, 1, 2, 3, 4])
        return Frame.encodeResponseUnsafe("SaslHandshake", 0, content.readInt32BE(4), {})
      })
      const proxy = yield* FaultProxy.make({ target })
      const client = yield* ProtocolClient.connect(proxy.host, proxy.port)
      yield* client.request("SaslHandshake", 0, { mechanism: "GSSAPI" })
      yield* client.sendRaw(Buffer.from([0, 0, 0, 3, 0, 0, 1]))
      yield* client.sendRaw(Frame.encodeRequestUnsafe(
        "ListGroups",
        { apiVersion: 3, correlationId: 1, clientId: null },
        {}
      ))
      yield* proxy.log.awaitFrame({ api: "SaslHandshake", phase: "forwarded" })
      assert.deepStrictEqual(yield* proxy.connections.malformed, [])
    }))
})

describe("the wire log", () => {
  it.effect("is bounded, keeps its positions, and is written as JSON lines", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(join(tmpdir(), "kafka-once-log-"))
      const logFile = join(folder, "wire.jsonl")
      yield* Effect.scoped(Effect.gen(function*() {
        const proxy = yield* FaultProxy.make({ target: yield* broker, entriesMax: 10, logFile })
        const client = yield* ProtocolClient.connect(proxy.host, proxy.port)
        for (let count = 0; count < 50; count++) yield* client.request("ListGroups", 3, {})
        const entries = yield* proxy.log.entries
        assert.strictEqual(yield* proxy.log.position, 50)
        assert.strictEqual(yield* proxy.log.omitted, 40)
        assert.deepStrictEqual(
          entries.map(({ position }) => position),
          Array.from({ length: 10 }, (_, index) => 40 + index)
        )
      }))
      const lines = readFileSync(logFile, "utf8").trimEnd().split("\n").map((line) =>
        JSON.parse(line)
      )
      rmSync(folder, { recursive: true })
      assert.strictEqual(lines.length, 150)
      assert.deepStrictEqual(
        lines.slice(0, 3).map(({ phase }) => phase),
        ["request", "forwarded", "response"]
      )
    }))

  it.live("a frame that does not come is a typed failure", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make()
      const error = yield* Effect.flip(
        proxy.log.awaitFrame({ api: "EndTxn" }, { timeout: "10 millis" })
      )
      assert.strictEqual(error.reason._tag, "FrameNotSeen")
      assert.include(error.message, '{"api":"EndTxn"}')
    }))
})
