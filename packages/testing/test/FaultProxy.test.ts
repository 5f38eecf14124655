import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import {
  abort,
  awaitMarkers,
  begin,
  call,
  commit,
  createTopic,
  producer,
  readLog,
  readValues,
  Rig,
  send,
  wire
} from "./FaultProxyRig.ts"

/** A transaction with one record in a topic of its own, ready to be ended. */
const open = Effect.fnUntraced(function*(name: string, requestTimeoutMillis = 10_000) {
  yield* createTopic(name)
  const client = yield* producer({ clientId: name, requestTimeoutMillis })
  const transaction = yield* begin(client)
  yield* send(transaction, name, "one")
  return { client, transaction }
})

layer(Rig.layer, { timeout: "3 minutes", excludeTestServices: true })("a fault proxy", (it) => {
  it.effect("lets everything through when no rule matches, and writes down who did what", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("through")
      yield* commit(transaction)
      assert.deepStrictEqual(yield* awaitMarkers("through", 1), ["one", "commit"])
      const end = yield* proxy.log.awaitFrame({
        api: "EndTxn",
        transactionalId: "through",
        commit: true,
        phase: "response"
      })
      const { batches } = yield* readLog("through")
      assert.strictEqual(end.clientId, "through")
      assert.strictEqual(end.answer?.errorCode, 0)
      assert.strictEqual(end.answer?.delivered, true)
      assert.strictEqual(end.producerId, batches[0]!.producerId)
      const produce = yield* proxy.log.awaitFrame({ api: "Produce", transactionalId: "through" })
      assert.strictEqual(produce.producerId, end.producerId)
      assert.strictEqual(produce.producerEpoch, end.producerEpoch)
      assert.strictEqual(produce.answer?.errorCode, 0)
      const entries = yield* proxy.log.entries
      assert.isTrue(
        entries.some(({ answer, api }) =>
          api === "InitProducerId" && answer?.producerId === end.producerId
        )
      )
    }))

  it.effect("dropRequest: the broker never sees the commit, and the client times out", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("drop-request", 1000)
      const rule = FaultProxyRule.dropRequest({ api: "EndTxn", transactionalId: "drop-request" })
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.include(error.message, "timed out")
      assert.deepStrictEqual(yield* readValues("drop-request"), ["one"])
    }))

  it.effect("dropResponse: the commit is done, and the client is told a timeout", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("drop-response", 1000)
      const rule = yield* proxy.inject(
        FaultProxyRule.dropResponse({ api: "EndTxn", clientId: "drop-response", commit: true })
      )
      const error = yield* Effect.flip(commit(transaction))
      const fired = yield* rule.fired
      assert.include(error.message, "timed out")
      assert.strictEqual(fired.answer?.errorCode, 0)
      assert.strictEqual(fired.answer?.delivered, false)
      assert.deepStrictEqual(yield* awaitMarkers("drop-response", 1), ["one", "commit"])
    }))

  it.effect("resetBefore: the connection breaks, and the broker never sees the abort", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("reset-before")
      const rule = FaultProxyRule.resetBefore({
        api: "EndTxn",
        clientId: "reset-before",
        commit: false
      })
      const error = yield* Effect.flip(abort(transaction)).pipe(proxy.withRule(rule))
      assert.match(error.message, /ECONNRESET|[Cc]losed connection/)
      assert.deepStrictEqual(yield* readValues("reset-before"), ["one"])
    }))

  it.effect("resetAfter: the connection breaks, and the broker has committed", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("reset-after")
      const rule = FaultProxyRule.resetAfter({ api: "EndTxn", clientId: "reset-after" })
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.match(error.message, /ECONNRESET|[Cc]losed connection/)
      assert.deepStrictEqual(yield* awaitMarkers("reset-after", 1), ["one", "commit"])
    }))

  it.effect("delay: a request reaches the broker later, and the client only waits", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("delay-request")
      yield* commit(transaction).pipe(
        proxy.withRule(
          FaultProxyRule.delay({ api: "EndTxn", clientId: "delay-request" }, "200 millis")
        )
      )
      const entry = yield* proxy.log.awaitFrame({
        api: "EndTxn",
        commit: true,
        clientId: "delay-request",
        phase: "response"
      })
      assert.isAtLeast(entry.forwardedMillis! - entry.timeMillis, 199)
      assert.deepStrictEqual(yield* awaitMarkers("delay-request", 1), ["one", "commit"])
    }))

  it.effect("delay: a response that comes after the client's timeout is a timeout", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("delay-response", 1000)
      const rule = FaultProxyRule.delay(
        { api: "EndTxn", clientId: "delay-response", phase: "response" },
        "2 seconds"
      )
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.include(error.message, "timed out")
      assert.deepStrictEqual(yield* awaitMarkers("delay-response", 1), ["one", "commit"])
    }))

  it.effect("hold and release: a commit is delivered after its client has gone", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* Effect.scoped(Effect.gen(function*() {
        const { client, transaction } = yield* open("hold", 1000)
        const rule = yield* proxy.inject(
          FaultProxyRule.hold({ api: "EndTxn", clientId: "hold", commit: true, nth: 1 }, "late")
        )
        yield* Effect.flip(commit(transaction))
        yield* rule.fired
        yield* call(() => client.disconnect())
      }))
      yield* proxy.connections.awaitOpen(0, "hold")
      assert.deepStrictEqual(yield* readValues("hold"), ["one"])
      assert.strictEqual(yield* proxy.release("late"), 1)
      const entry = yield* proxy.log.awaitFrame({
        api: "EndTxn",
        clientId: "hold",
        commit: true,
        phase: "response"
      })
      assert.strictEqual(entry.answer?.errorCode, 0)
      assert.strictEqual(entry.answer?.delivered, false)
      assert.deepStrictEqual(yield* awaitMarkers("hold", 1), ["one", "commit"])
    }))

  it.effect("hold: whoever waits for `fired` can release at once", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const client = yield* wire("hold-fired")
      const rule = yield* proxy.inject(
        FaultProxyRule.hold({ api: "Metadata", clientId: "hold-fired", nth: 1 }, "at once")
      )
      const released = yield* Effect.forkChild(
        Effect.andThen(rule.fired, proxy.release("at once")),
        { startImmediately: true }
      )
      const answer = yield* client.request("Metadata", 9, { topics: [] })
      assert.strictEqual(yield* Fiber.join(released), 1)
      assert.isAbove(answer.brokers.length, 0)
    }))

  it.effect("release: a rule delivers what another holds when its own frame passes", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const client = yield* wire("release")
      yield* proxy.inject(
        FaultProxyRule.hold({ api: "Metadata", clientId: "release", nth: 1 }, "metadata")
      )
      yield* proxy.inject(
        FaultProxyRule.release({ api: "ListGroups", clientId: "release" }, "metadata")
      )
      const held = yield* Effect.forkChild(client.request("Metadata", 9, { topics: [] }))
      yield* proxy.log.awaitFrame({ api: "Metadata", clientId: "release" })
      yield* client.request("ListGroups", 3, {})
      assert.isAbove((yield* Fiber.join(held)).brokers.length, 0)
    }))

  it.effect("error: the client gets the code, and the broker never sees the request", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("error")
      const rule = FaultProxyRule.error(
        { api: "EndTxn", clientId: "error", commit: true },
        "NOT_COORDINATOR"
      )
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.include(error.message, "not the correct coordinator")
      assert.deepStrictEqual(yield* readValues("error"), ["one"])
    }))

  it.effect("error: a Produce is refused for the partitions that it names", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("error-produce")
      const client = yield* producer({ clientId: "error-produce" })
      const transaction = yield* begin(client)
      const rule = FaultProxyRule.error(
        { api: "Produce", topic: "error-produce" },
        "NOT_ENOUGH_REPLICAS"
      )
      const error = yield* Effect.flip(send(transaction, "error-produce", "one")).pipe(
        proxy.withRule(rule)
      )
      assert.include(error.message, "fewer in-sync replicas")
      assert.deepStrictEqual(yield* readValues("error-produce"), [])
    }))

  it.effect("error: the proxy's own answer does not overtake those before it", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("error-order")
      const client = yield* wire("error-order")
      yield* proxy.inject(
        FaultProxyRule.error({ api: "ListGroups", clientId: "error-order" }, "NOT_COORDINATOR")
      )
      const topics = [{ topic: "error-order", partitions: [{ fetchOffset: 0n }] }]
      yield* Effect.all([
        client.request("Fetch", 11, { maxWaitMs: 200, minBytes: 1, maxBytes: 1000, topics }),
        client.request("ListGroups", 3, {})
      ], { concurrency: 2 })
      const entries = yield* proxy.log.entries
      const [fetch, list] = entries.filter(({ clientId }) => clientId === "error-order")
      assert.isAtLeast(list!.answer!.timeMillis, fetch!.answer!.timeMillis)
      assert.isAtLeast(list!.answer!.timeMillis - list!.timeMillis, 190)
    }))

  it.effect("mute: this answer and all later ones of the connection vanish", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const muted = yield* wire("mute", "500 millis")
      yield* proxy.inject(FaultProxyRule.mute({ api: "ListGroups", clientId: "mute", nth: 1 }))
      const before = yield* muted.request("Metadata", 9, { topics: [] })
      const errors = yield* Effect.all([
        Effect.flip(muted.request("ListGroups", 3, {})),
        Effect.flip(muted.request("Metadata", 9, { topics: [] }))
      ], { concurrency: 2 })
      assert.isAbove(before.brokers.length, 0)
      for (const error of errors) assert.include(error.message, "no answer")
      const entry = yield* proxy.log.awaitFrame({
        api: "Metadata",
        clientId: "mute",
        nth: 2,
        phase: "response"
      })
      assert.strictEqual(entry.answer?.delivered, false)
    }))

  it.effect("truncate: the broker gets half a commit, and does not commit", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("truncate")
      const rule = FaultProxyRule.truncate({ api: "EndTxn", clientId: "truncate" }, 12)
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.match(error.message, /ECONNRESET|[Cc]losed connection/)
      assert.deepStrictEqual(yield* readValues("truncate"), ["one"])
    }))

  it.effect("truncate: the client gets half an answer, and the connection ends", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const { transaction } = yield* open("truncate-response")
      const rule = FaultProxyRule.truncate(
        { api: "EndTxn", clientId: "truncate-response", phase: "response" },
        6
      )
      const error = yield* Effect.flip(commit(transaction)).pipe(proxy.withRule(rule))
      assert.match(error.message, /[Cc]losed connection|ECONNRESET/)
      assert.deepStrictEqual(yield* awaitMarkers("truncate-response", 1), ["one", "commit"])
    }))

  it.effect("corrupt: a record batch with a wrong checksum is refused by the broker", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("corrupt")
      const client = yield* producer({ clientId: "corrupt" })
      const transaction = yield* begin(client)
      const rule = FaultProxyRule.corrupt({ api: "Produce", clientId: "corrupt" }, -1)
      const error = yield* Effect.flip(send(transaction, "corrupt", "one")).pipe(
        proxy.withRule(rule)
      )
      assert.match(error.message, /CRC|corrupt/i)
      assert.deepStrictEqual(yield* readValues("corrupt"), [])
    }))

  it.effect("slice: a whole transaction in single bytes, both ways, is a transaction", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("slice")
      yield* proxy.inject(FaultProxyRule.slice({ clientId: "slice" }, 1))
      const { transaction } = yield* open("slice-transaction").pipe(
        proxy.withRule(
          FaultProxyRule.slice({ clientId: "slice-transaction", phase: "response" }, 1)
        )
      )
      const client = yield* producer({ clientId: "slice" })
      const sliced = yield* begin(client)
      yield* send(sliced, "slice", "one")
      yield* commit(sliced)
      yield* commit(transaction)
      assert.deepStrictEqual(yield* awaitMarkers("slice", 1), ["one", "commit"])
      assert.deepStrictEqual(
        yield* awaitMarkers("slice-transaction", 1),
        ["one", "commit"]
      )
    }))

  it.effect("bandwidth: a request takes as long as its bytes do", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("bandwidth")
      const client = yield* producer({ clientId: "bandwidth", requestTimeoutMillis: 10_000 })
      const transaction = yield* begin(client)
      yield* send(transaction, "bandwidth", "x".repeat(20_000)).pipe(
        proxy.withRule(FaultProxyRule.bandwidth({ api: "Produce", clientId: "bandwidth" }, 50_000))
      )
      yield* commit(transaction)
      const entry = yield* proxy.log.awaitFrame({
        api: "Produce",
        clientId: "bandwidth",
        phase: "response"
      })
      assert.isAtLeast(entry.answer!.timeMillis - entry.timeMillis, 350)
      assert.deepStrictEqual(yield* awaitMarkers("bandwidth", 1), [
        "x".repeat(20_000),
        "commit"
      ])
    }))

  it.effect("nth: counts the frames that fit, and the first rule that fits wins", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const client = yield* wire("nth")
      const match = { api: "ListGroups", clientId: "nth" } as const
      const second = yield* proxy.inject(
        FaultProxyRule.error({ ...match, nth: 2 }, "COORDINATOR_LOAD_IN_PROGRESS")
      )
      const range = yield* proxy.inject(
        FaultProxyRule.error({ ...match, nth: [2, 3] }, "NOT_COORDINATOR")
      )
      const codes = yield* Effect.forEach(
        [1, 2, 3, 4],
        () => Effect.map(client.request("ListGroups", 3, {}), ({ errorCode }) => errorCode)
      )
      assert.deepStrictEqual(codes, [0, 14, 16, 0])
      assert.strictEqual(yield* second.hits, 1)
      assert.strictEqual(yield* range.hits, 1)
    }))

  it.effect("a rule that never fired fails the scope that it is in, by name", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const rule = FaultProxyRule.dropRequest({ api: "EndTxn", clientId: "nobody" })
      const error = yield* Effect.flip(Effect.void.pipe(proxy.withRule(rule)))
      assert.strictEqual(error.reason._tag, "RuleNeverFired")
      assert.include(error.message, '"dropRequest EndTxn clientId=nobody" (0 frames matched)')
      const bare = yield* Effect.flip(Effect.scoped(proxy.inject(rule)))
      assert.strictEqual(bare.reason._tag, "RuleNeverFired")
      const open = yield* Effect.flip(
        Effect.scoped(Effect.andThen(proxy.inject(rule), () => proxy.assertAllFired))
      )
      assert.strictEqual(open.reason._tag, "RuleNeverFired")
      const own = yield* Effect.flip(Effect.fail("the test's own").pipe(proxy.withRule(rule)))
      assert.strictEqual(own, "the test's own")
    }))

  it.effect("a gate with nothing behind it cannot be released", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const error = yield* Effect.flip(proxy.release("nothing"))
      assert.strictEqual(error.reason._tag, "NothingHeld")
    }))

  for (const direction of ["both", "requests", "responses"] as const) {
    it.effect(`blackhole ${direction}: nothing is answered until it heals`, () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const clientId = `blackhole-${direction}`
        const client = yield* wire(clientId, "500 millis")
        yield* client.request("ListGroups", 3, {})
        yield* proxy.blackhole(direction)
        const fresh = yield* wire(clientId, "500 millis")
        const [lost, silent] = yield* Effect.all([
          Effect.flip(client.request("ListGroups", 3, {})),
          Effect.flip(fresh.request("ListGroups", 3, {}))
        ], { concurrency: 2 })
        assert.include(lost.message, "no answer")
        assert.include(silent.message, "no answer")
        const entries = yield* proxy.log.entries
        const seen = entries.filter((entry) => entry.clientId === clientId).slice(1)
        assert.deepStrictEqual(
          seen.map((entry) => entry.forwardedMillis !== null),
          direction === "responses" ? [true, true] : [false, false]
        )
        yield* proxy.heal
        yield* client.request("ListGroups", 3, {})
        yield* fresh.request("ListGroups", 3, {})
      }))
  }

  it.effect("refuse and resetAll: no connection is left, and none opens until it heals", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const client = yield* wire("refused")
      yield* client.request("ListGroups", 3, {})
      yield* proxy.refuse
      assert.isAtLeast(yield* proxy.resetAll, 1)
      yield* proxy.connections.awaitOpen(0)
      const broken = yield* Effect.flip(client.request("ListGroups", 3, {}))
      const refused = yield* Effect.flip(
        Effect.andThen(wire("refused"), (fresh) => fresh.request("ListGroups", 3, {}))
      )
      assert.match(broken.message, /closed|ECONNRESET/)
      assert.match(refused.message, /closed|ECONNRESET/)
      yield* proxy.heal
      const healed = yield* wire("refused")
      yield* healed.request("ListGroups", 3, {})
    }))

  it.effect("open sockets are counted per client id, and gone when the client has closed", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      const opened = yield* proxy.connections.opened
      yield* Effect.scoped(Effect.gen(function*() {
        const clients = yield* Effect.all([wire("counted"), wire("counted")])
        for (const client of clients) yield* client.request("ListGroups", 3, {})
        const counts = yield* proxy.connections.open
        assert.strictEqual(counts.get("counted"), 2)
      }))
      yield* proxy.connections.awaitOpen(0, "counted")
      assert.strictEqual(yield* proxy.connections.opened, opened + 2)
    }))

  it.effect("acks=0: a Produce without an answer passes, and nothing waits for one", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Rig
      yield* createTopic("acks")
      const client = yield* wire("acks", "500 millis")
      const source = yield* open("acks-source")
      yield* commit(source.transaction)
      const first = yield* proxy.log.awaitFrame({ api: "Produce", clientId: "acks-source" })
      assert.strictEqual(first.version, 7)
      const silent = yield* Effect.forkChild(
        client.request("Produce", 7, {
          acks: 0,
          timeoutMs: 1000,
          topicData: [{ name: "acks", partitionData: [{ index: 0, records: null }] }]
        })
      )
      yield* proxy.log.awaitFrame({ api: "Produce", clientId: "acks", phase: "forwarded" })
      // The broker may close the connection over such a Produce, whose refusal it cannot answer.
      yield* Effect.ignore(client.request("ListGroups", 3, {}))
      yield* Fiber.interrupt(silent)
      const entry = yield* proxy.log.awaitFrame({ api: "Produce", clientId: "acks" })
      assert.strictEqual(entry.answer, null)
    }))
})
