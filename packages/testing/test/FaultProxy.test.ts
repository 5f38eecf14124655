import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import {
  awaitMarkers,
  begin,
  commit,
  createTopic,
  producer,
  readLog,
  readValues,
  Rig,
  send
} from "./FaultProxyRig.ts"

layer(Rig.layer, { timeout: "3 minutes", excludeTestServices: true })("a fault proxy", (it) => {
  it.effect("lets everything through when no rule matches", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("through")
      const client = yield* producer({ clientId: "through" })
      const transaction = yield* begin(client)
      yield* send(transaction, "through", "one")
      yield* commit(transaction)
      assert.deepStrictEqual(yield* awaitMarkers("through", 1), ["one", "commit"])
      const end = yield* proxy.log.awaitFrame({
        api: "EndTxn",
        transactionalId: "through",
        phase: "response"
      })
      const { batches } = yield* readLog("through")
      assert.strictEqual(end.commit, true)
      assert.strictEqual(end.clientId, "through")
      assert.strictEqual(end.answer?.errorCode, 0)
      assert.strictEqual(end.answer?.delivered, true)
      assert.strictEqual(end.producerId, batches[0]!.producerId)
      assert.strictEqual(end.producerEpoch, batches[0]!.producerEpoch)
      const produce = yield* proxy.log.awaitFrame({ api: "Produce", transactionalId: "through" })
      assert.strictEqual(produce.producerId, end.producerId)
      assert.strictEqual(produce.producerEpoch, end.producerEpoch)
      assert.strictEqual(produce.answer?.errorCode, 0)
    }))

  it.effect("dropRequest: the broker never sees the commit, and the client times out", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("drop-request")
      const client = yield* producer({ clientId: "drop-request" })
      const transaction = yield* begin(client)
      yield* send(transaction, "drop-request", "one")
      const rule = FaultProxyRule.dropRequest({ api: "EndTxn", transactionalId: "drop-request" })
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.include(error.message, "timed out")
      assert.deepStrictEqual(yield* readValues("drop-request"), ["one"])
    }))

  it.effect("dropResponse: the commit is done, and the client is told a timeout", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("drop-response")
      const client = yield* producer({ clientId: "drop-response" })
      const transaction = yield* begin(client)
      yield* send(transaction, "drop-response", "one")
      const rule = yield* proxy.inject(
        FaultProxyRule.dropResponse({
          api: "EndTxn",
          transactionalId: "drop-response",
          commit: true
        })
      )
      const error = yield* Effect.flip(commit(transaction))
      const fired = yield* rule.fired
      assert.include(error.message, "timed out")
      assert.strictEqual(fired.answer?.errorCode, 0)
      assert.strictEqual(fired.answer?.delivered, false)
      assert.deepStrictEqual(yield* awaitMarkers("drop-response", 1), ["one", "commit"])
    }))
})
