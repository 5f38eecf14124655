import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import { Rig, wire } from "./FaultProxyRig.ts"

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

    it.effect("surgical: after a lost answer the next one of the connection arrives", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const client = yield* wire("surgical-drop", "500 millis")
        yield* proxy.inject(
          FaultProxyRule.dropResponse({ api: "Metadata", clientId: "surgical-drop", nth: 1 })
        )
        const [lost, arrived] = yield* Effect.all([
          Effect.exit(client.request("Metadata", 9, { topics: [] })),
          Effect.exit(client.request("ListGroups", 3, {}))
        ], { concurrency: 2 })
        assert.isTrue(Exit.isFailure(lost))
        assert.isTrue(Exit.isSuccess(arrived))
      }))
  }
)
