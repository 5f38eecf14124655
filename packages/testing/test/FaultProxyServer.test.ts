import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { execFile } from "node:child_process"
import { createConnection } from "node:net"
import { networkInterfaces } from "node:os"
import * as FaultProxyServer from "../src/FaultProxyServer.ts"
import { begin, commit, createTopic, producer, Rig, send, wire } from "./FaultProxyRig.ts"

class Control extends Context.Service<Control, FaultProxyServer.FaultProxyServer>()(
  "test/Control"
) {
  static readonly layer = Layer.effect(
    Control,
    Effect.flatMap(Rig, ({ proxy }) => FaultProxyServer.make(proxy))
  ).pipe(Layer.provideMerge(Rig.layer))
}

/** One call of the control, and what it answered. */
const call = Effect.fnUntraced(function*(method: string, path: string, body?: unknown) {
  const { url } = yield* Control
  return yield* Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${url}${path}`, {
        method,
        signal,
        ...(body === undefined
          ? {}
          : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      const isJson = response.headers.get("content-type")?.startsWith("application/json") === true
      return { status: response.status, body: isJson ? JSON.parse(text) : text }
    },
    catch: (cause) => cause as Error
  })
})

const lostCommit = (clientId: string) => ({
  match: { api: "EndTxn", commit: true, clientId, nth: 1 },
  action: { type: "dropResponse" }
})

/** Runs a script in a process of its own. */
const elsewhere = (script: string) =>
  Effect.callback<string, Error>((resume) => {
    const child = execFile(
      process.execPath,
      ["--input-type=module", "--eval", script],
      { timeout: 20_000 },
      (failure, output) => resume(failure === null ? Effect.succeed(output) : Effect.fail(failure))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** What is asked, and how it is refused. */
const refusals = [
  [
    "text that is no JSON",
    "POST",
    "/rules",
    "{ no",
    400,
    "InvalidRequest",
    "the body is no JSON"
  ],
  [
    "an API that does not exist",
    "POST",
    "/rules",
    { match: { api: "EndTxm" }, action: { type: "dropRequest" } },
    400,
    "InvalidRule",
    `there is no API "EndTxm"`
  ],
  [
    "an action that does not exist",
    "POST",
    "/rules",
    { match: {}, action: { type: "drop" } },
    400,
    "InvalidRule",
    `there is no action "drop"`
  ],
  [
    "a field that does not exist",
    "POST",
    "/rules",
    { match: { apy: "EndTxn" }, action: { type: "dropRequest" } },
    400,
    "InvalidRule",
    "apy"
  ],
  [
    "a rule that can never fire",
    "POST",
    "/rules",
    { match: { api: "Produce", commit: true }, action: { type: "dropRequest" } },
    400,
    "InvalidRule",
    "`commit` is about EndTxn alone"
  ],
  [
    "an error where none fits",
    "POST",
    "/rules",
    { match: { api: "Fetch" }, action: { type: "error", code: "NO_SUCH_CODE" } },
    400,
    "InvalidRule",
    "there is no error code"
  ],
  [
    "a direction that does not exist",
    "POST",
    "/blackhole",
    { direction: "left" },
    400,
    "InvalidRequest",
    "direction"
  ],
  [
    "a body that is too large",
    "POST",
    "/rules",
    " ".repeat(2_000_000),
    413,
    "InvalidRequest",
    "too large"
  ],
  [
    "a rule that is not there",
    "DELETE",
    "/rules/99",
    undefined,
    404,
    "NotFound",
    "no rule 99"
  ],
  [
    "a path that is not there",
    "GET",
    "/rule",
    undefined,
    404,
    "NotFound",
    "there is no GET /rule"
  ],
  ["an empty gate", "POST", "/gates/none/release", undefined, 409, "NothingHeld", "none"],
  [
    "a number that is none",
    "GET",
    "/log?after=x",
    undefined,
    400,
    "InvalidRequest",
    `"after" is no whole number`
  ]
] as const

layer(Control.layer, { timeout: "3 minutes", excludeTestServices: true })(
  "the control of a fault proxy over HTTP",
  (it) => {
    it.effect.each(refusals)("%s is refused, and nothing is injected", ([
      ,
      method,
      path,
      body,
      status,
      tag,
      message
    ]) =>
      Effect.gen(function*() {
        const answer = yield* call(method, path, body)
        assert.strictEqual(answer.status, status)
        assert.strictEqual(answer.body.error._tag, tag)
        assert.include(answer.body.error.message, message)
        assert.deepStrictEqual((yield* call("GET", "/rules")).body, [])
      }))

    it.effect("another process injects a rule, waits until it has fired, and removes it", () =>
      Effect.gen(function*() {
        const { url } = yield* Control
        yield* createTopic("elsewhere")
        const client = yield* producer({ clientId: "elsewhere", requestTimeoutMillis: 1_000 })
        const transaction = yield* begin(client)
        yield* send(transaction, "elsewhere", "one")
        const rule = JSON.stringify(lostCommit("elsewhere"))
        const script = `
          const call = async (method, path, body) => {
            const response = await fetch(${JSON.stringify(url)} + path, { method, body })
            return response.json()
          }
          const { id } = await call("POST", "/rules", ${JSON.stringify(rule)})
          const fired = await call("GET", "/rules/" + id + "/fired")
          const { hits } = await call("DELETE", "/rules/" + id)
          console.log(JSON.stringify({ api: fired.api, errorCode: fired.answer.errorCode, hits }))`
        const other = yield* Effect.forkChild(elsewhere(script))
        yield* Effect.repeat(call("GET", "/rules"), { until: ({ body }) => body.length === 1 })
        const error = yield* Effect.flip(commit(transaction))
        assert.include(error.message, "timed out")
        assert.deepStrictEqual(JSON.parse(yield* Fiber.join(other)), {
          api: "EndTxn",
          errorCode: 0,
          hits: 1
        })
      }))

    it.effect("a rule is listed with what it did, and the log has its lines", () =>
      Effect.gen(function*() {
        yield* createTopic("listed")
        const client = yield* producer({ clientId: "listed", requestTimeoutMillis: 1_000 })
        const transaction = yield* begin(client)
        yield* send(transaction, "listed", "one")
        const injected = yield* call("POST", "/rules", lostCommit("listed"))
        const { id, name } = injected.body
        assert.strictEqual(injected.status, 201)
        assert.strictEqual(name, "dropResponse EndTxn commit nth=1 clientId=listed")
        const rule = { name, ...lostCommit("listed") }
        assert.deepStrictEqual((yield* call("GET", "/rules")).body, [{ id, name, hits: 0, rule }])
        yield* Effect.flip(commit(transaction))
        assert.deepStrictEqual((yield* call("GET", "/rules")).body, [{ id, name, hits: 1, rule }])
        const fired = yield* call("GET", `/rules/${id}/fired`)
        const { position } = fired.body
        const { body: lines } = yield* call("GET", `/log?after=${position}`)
        const entry = JSON.parse(lines.split("\n")[0])
        assert.deepInclude(entry, { position, api: "EndTxn", rule: name, action: "dropResponse" })
        assert.match(entry.producerId, /^\d+$/)
        assert.deepStrictEqual((yield* call("DELETE", `/rules/${id}`)).body, { id, name, hits: 1 })
        assert.deepStrictEqual((yield* call("GET", "/rules")).body, [])
      }))

    it.effect("a rule that never fired is told when it is removed, and is removed", () =>
      Effect.gen(function*() {
        const { body: { id } } = yield* call("POST", "/rules", lostCommit("nobody"))
        const waited = yield* call("GET", `/rules/${id}/fired?within=20`)
        assert.strictEqual(waited.status, 409)
        const removed = yield* call("DELETE", `/rules/${id}`)
        assert.strictEqual(removed.status, 409)
        assert.strictEqual(removed.body.error._tag, "RuleNeverFired")
        assert.include(removed.body.error.message, "clientId=nobody")
        assert.strictEqual((yield* call("DELETE", `/rules/${id}`)).status, 404)
      }))

    it.effect("what is held is released by its gate", () =>
      Effect.gen(function*() {
        const client = yield* wire("gate")
        const { body: { id } } = yield* call("POST", "/rules", {
          match: { api: "Metadata", clientId: "gate", nth: 1 },
          action: { type: "hold", gate: "by name" }
        })
        const held = yield* Effect.forkChild(client.request("Metadata", 9, { topics: [] }))
        yield* call("GET", `/rules/${id}/fired`)
        const released = yield* call("POST", "/gates/by%20name/release")
        assert.deepStrictEqual(released.body, { released: 1 })
        yield* Fiber.join(held)
        yield* call("DELETE", `/rules/${id}`)
      }))

    it.effect("the network is cut, and healed", () =>
      Effect.gen(function*() {
        const client = yield* wire("cut")
        const list = client.request("ListGroups", 3, {})
        yield* list
        assert.strictEqual(
          (yield* call("POST", "/blackhole", { direction: "requests" })).status,
          204
        )
        const { proxy } = yield* Rig
        const after = yield* proxy.log.position
        const waiting = yield* Effect.forkChild(list)
        const entry = yield* proxy.log.awaitFrame({ api: "ListGroups" }, { after })
        assert.strictEqual(entry.forwardedMillis, null)
        assert.strictEqual((yield* call("POST", "/heal")).status, 204)
        yield* Fiber.join(waiting)
        yield* call("POST", "/refuse")
        assert.isTrue(
          Exit.isFailure(
            yield* Effect.exit(
              Effect.flatMap(wire("cut-refused"), (client) => client.request("ListGroups", 3, {}))
            )
          )
        )
        yield* call("POST", "/heal")
        const { body: before } = yield* call("GET", "/connections")
        assert.strictEqual(before.open["cut"], 1)
        assert.isAtLeast((yield* call("POST", "/reset")).body.connections, 1)
        yield* proxy.connections.awaitOpen(0, "cut")
      }))

    it.effect("nobody on another machine can reach it", () =>
      Effect.gen(function*() {
        const { host, port } = yield* Control
        assert.strictEqual(host, "127.0.0.1")
        // Another address of this machine's own loopback is closed as well.
        const others = ["127.0.0.2"]
        for (const found of Object.values(networkInterfaces()).flat()) {
          if (found?.internal === false && found.family === "IPv4") others.push(found.address)
        }
        for (const other of others) {
          const refused = yield* Effect.callback<boolean>((resume) => {
            const socket = createConnection({ host: other, port })
            socket.once("connect", () => resume(Effect.succeed(false)))
            socket.once("error", () => resume(Effect.succeed(true)))
            return Effect.sync(() => socket.destroy())
          })
          assert.isTrue(refused, other)
        }
      }))

    it.effect("a port that is taken is told", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const { port } = yield* Control
        const error = yield* Effect.flip(FaultProxyServer.make(proxy, { port }))
        assert.strictEqual(error.reason._tag, "ListenFailed")
        assert.include(error.message, "EADDRINUSE")
      }).pipe(Effect.scoped))

    it.effect("a rule that was forgotten fails the scope of the control", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const exit = yield* Effect.scoped(Effect.gen(function*() {
          const control = yield* FaultProxyServer.make(proxy)
          yield* Effect.provideService(
            call("POST", "/rules", lostCommit("forgotten")),
            Control,
            control
          )
        })).pipe(Effect.exit)
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(exit), "clientId=forgotten")
        yield* proxy.assertAllFired
      }))

    it.effect("who waits for a rule does not hold up the end", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const waiting = yield* Effect.scoped(Effect.gen(function*() {
          const control = yield* FaultProxyServer.make(proxy)
          const rule = { ...lostCommit("waiting"), optional: true }
          const here = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
            Effect.provideService(effect, Control, control)
          const { body: { id } } = yield* here(call("POST", "/rules", rule))
          const waiting = yield* Effect.forkDetach(
            Effect.exit(here(call("GET", `/rules/${id}/fired`)))
          )
          yield* here(call("GET", "/rules"))
          return waiting
        })).pipe(Effect.timeout("5 seconds"))
        yield* Fiber.join(waiting)
      }))
  }
)
