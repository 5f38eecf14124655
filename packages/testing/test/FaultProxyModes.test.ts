import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import type { ProtocolClient } from "../src/internal/protocol/protocolClient.ts"
import { Rig, wire } from "./FaultProxyRig.ts"

/** What the proxy saw of a client, without its first requests. */
const seen = Effect.fnUntraced(function*(clientId: string, without = 0) {
  const { proxy } = yield* Rig
  const entries = yield* proxy.log.entries
  return entries.filter((entry) => entry.clientId === clientId).slice(without)
})

/** Sends two requests together, and tells whose answer came first. */
const orderOfAnswers = Effect.fnUntraced(function*(client: ProtocolClient) {
  const arrived: Array<string> = []
  const noted = <E>(api: "Metadata" | "ListGroups", request: Effect.Effect<unknown, E>) =>
    Effect.tap(request, () => Effect.sync(() => arrived.push(api)))
  yield* Effect.all([
    noted("Metadata", client.request("Metadata", 9, { topics: [] })),
    noted("ListGroups", client.request("ListGroups", 3, {}))
  ], { concurrency: 2 })
  return arrived
})

layer(Rig.layer, { timeout: "3 minutes", excludeTestServices: true })(
  "the modes of a fault proxy",
  (it) => {
    it.effect("realistic: what follows a held request on its connection waits behind it", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const client = yield* wire("realistic-hold")
        const rule = yield* proxy.inject({
          ...FaultProxyRule.hold({ api: "Metadata", clientId: "realistic-hold" }, "realistic"),
          mode: "realistic"
        })
        const both = yield* Effect.forkChild(Effect.all([
          client.request("Metadata", 9, { topics: [] }),
          client.request("ListGroups", 3, {})
        ], { concurrency: 2 }))
        yield* rule.fired
        const later = yield* proxy.log.awaitFrame({ api: "ListGroups", clientId: "realistic-hold" })
        assert.strictEqual(later.forwardedMillis, null)
        yield* proxy.release("realistic")
        yield* Fiber.join(both)
      }))

    it.effect("realistic: after a lost answer every later one of the connection is lost", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const client = yield* wire("realistic-drop", "500 millis")
        yield* proxy.inject({
          ...FaultProxyRule.dropResponse({ api: "Metadata", clientId: "realistic-drop", nth: 1 }),
          mode: "realistic"
        })
        const results = yield* Effect.all([
          Effect.exit(client.request("Metadata", 9, { topics: [] })),
          Effect.exit(client.request("ListGroups", 3, {}))
        ], { concurrency: 2 })
        assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Failure", "Failure"])
      }))

    it.effect("realistic: after a lost request every later one of the connection is lost", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const client = yield* wire("realistic-lost", "500 millis")
        const before = yield* client.request("ListGroups", 3, {})
        assert.strictEqual(before.errorCode, 0)
        yield* proxy.inject({
          ...FaultProxyRule.dropRequest({ api: "Metadata", clientId: "realistic-lost", nth: 1 }),
          mode: "realistic"
        })
        const errors = yield* Effect.all([
          Effect.flip(client.request("Metadata", 9, { topics: [] })),
          Effect.flip(client.request("ListGroups", 3, {}))
        ], { concurrency: 2 })
        for (const error of errors) assert.include(error.message, "no answer")
        const lost = yield* seen("realistic-lost", 1)
        assert.deepStrictEqual(lost.map(({ api }) => api), ["Metadata", "ListGroups"])
        for (const entry of lost) {
          assert.strictEqual(entry.forwardedMillis, null, entry.api)
          assert.strictEqual(entry.answer, null, entry.api)
        }
        // It is the connection that is lost, not the way to the broker.
        yield* (yield* wire("realistic-lost-again")).request("ListGroups", 3, {})
      }))

    it.effect.each([
      { what: "request", rule: FaultProxyRule.dropRequest },
      { what: "answer", rule: FaultProxyRule.dropResponse }
    ])(
      "surgical: after a lost $what the next one of the connection arrives",
      ({ rule, what }) =>
        Effect.gen(function*() {
          const { proxy } = yield* Rig
          const clientId = `surgical-lost-${what}`
          const client = yield* wire(clientId, "500 millis")
          yield* proxy.inject(rule({ api: "Metadata", clientId, nth: 1 }))
          const [lost, arrived] = yield* Effect.all([
            Effect.exit(client.request("Metadata", 9, { topics: [] })),
            Effect.exit(client.request("ListGroups", 3, {}))
          ], { concurrency: 2 })
          assert.isTrue(Exit.isFailure(lost))
          assert.isTrue(Exit.isSuccess(arrived))
        })
    )

    it.effect.each(["request", "response"] as const)(
      "realistic: what follows a delayed %s on its connection waits for it",
      (phase) =>
        Effect.gen(function*() {
          const { proxy } = yield* Rig
          const clientId = `realistic-${phase}`
          const client = yield* wire(clientId)
          yield* proxy.inject({
            ...FaultProxyRule.delay({ api: "Metadata", clientId, nth: 1, phase }, "300 millis"),
            mode: "realistic"
          })
          assert.deepStrictEqual(yield* orderOfAnswers(client), ["Metadata", "ListGroups"])
          const [delayed, next] = yield* seen(clientId)
          assert.strictEqual(delayed?.action, "delay")
          const waited = (entry = next) => entry!.forwardedMillis! - entry!.timeMillis
          if (phase === "request") {
            assert.isAtLeast(waited(delayed), 299)
            assert.isAtLeast(next!.forwardedMillis!, delayed!.forwardedMillis!)
          } else {
            // The broker had both at once: it is the answers that were late.
            assert.isBelow(waited(delayed), 200)
            assert.isBelow(waited(next), 200)
          }
        })
    )

    it.effect.each(["request", "response"] as const)(
      "surgical: what follows a delayed %s overtakes it",
      (phase) =>
        Effect.gen(function*() {
          const { proxy } = yield* Rig
          const clientId = `surgical-${phase}`
          const client = yield* wire(clientId)
          yield* proxy.inject(
            FaultProxyRule.delay({ api: "Metadata", clientId, nth: 1, phase }, "300 millis")
          )
          assert.deepStrictEqual(yield* orderOfAnswers(client), ["ListGroups", "Metadata"])
        })
    )
  }
)
