/**
 * The part of the driver contract that is about a network which loses things.
 */
import { assert, type Vitest } from "@effect/vitest"
import type { KafkaDriver, Request } from "@kafka-once/core/KafkaDriver"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Steps from "../DriverSteps.ts"
import { Proxy } from "../ProxiedKafka.ts"

type Needs = KafkaDriver | EmbeddedKafka | Proxy
type Through = (
  addresses: ReadonlyArray<string>
) => Layer.Layer<KafkaDriver, unknown>

/** Short, because these tests wait for it. */
const requestTimeoutMillis = 800

/** Runs a test with a driver that goes through the proxy, on a topic of its own. */
const proxied = (through: Through) =>
<E>(
  topic: string,
  test: (proxy: Proxy["Service"]) => Effect.Effect<void, E, Needs | Scope.Scope>
) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka
    const proxy = yield* Proxy
    yield* kafka.createTopic(topic)
    yield* Effect.scoped(test(proxy)).pipe(
      Effect.provide(through([`${proxy.host}:${proxy.port}`]))
    )
  })

export const faults = (
  it: Vitest.MethodsNonLive<Needs>,
  through: Through,
  neverSends: ReadonlyArray<Request>
): void => {
  const onProxy = proxied(through)
  produces(it, onProxy)
  ends(it, onProxy)
  codes(it, onProxy, neverSends)
  closing(it, onProxy)
}

type OnProxy = ReturnType<typeof proxied>

const produces = (it: Vitest.MethodsNonLive<Needs>, onProxy: OnProxy): void => {
  it.effect.each(
    [
      ["its answer is lost", FaultProxyRule.dropResponse],
      ["it is lost itself", FaultProxyRule.dropRequest],
      ["the connection is reset before it", FaultProxyRule.resetBefore],
      ["the connection is reset after it", FaultProxyRule.resetAfter]
    ] as const
  )(
    "a Produce is sent again and appended once when %s",
    ([title, fault]) =>
      onProxy(`again-${title.replaceAll(" ", "-")}`, (proxy) =>
        Effect.gen(function*() {
          const topic = `again-${title.replaceAll(" ", "-")}`
          const { session } = yield* Steps.open(topic, { requestTimeoutMillis })
          yield* session.begin
          yield* Steps.sendOne(session, Steps.batch(topic, 0, "a"))
          const rule = fault({ api: "Produce", transactionalId: topic, nth: 1 })
          const batch = Steps.batch(topic, 0, "b", "c")
          const lost = yield* Effect.flip(Steps.sendOne(session, batch)).pipe(proxy.withRule(rule))
          assert.strictEqual(Steps.told(lost), "Produce: NoAnswer")
          const appended = yield* Steps.sendUntilAnswered(session, batch)
          assert.strictEqual(appended.baseOffset, 1n)
          yield* Steps.sendOne(session, Steps.batch(topic, 0, "d"))
          yield* session.end("commit")
          assert.deepStrictEqual(yield* Steps.valuesIn(topic, 4), ["a", "b", "c", "d"])
        }))
  )

  it.effect("an answer that comes after its time-out harms nothing", () =>
    onProxy("late", (proxy) =>
      Effect.gen(function*() {
        const { session } = yield* Steps.open("late", { requestTimeoutMillis })
        yield* session.begin
        const match = {
          api: "Produce",
          transactionalId: "late",
          phase: "response",
          nth: 1
        } as const
        const rule = FaultProxyRule.hold(match, "late")
        const first = Steps.batch("late", 0, "a")
        yield* Effect.gen(function*() {
          const lost = yield* Effect.flip(Steps.sendOne(session, first))
          assert.strictEqual(Steps.told(lost), "Produce: NoAnswer")
          assert.strictEqual((yield* Steps.sendUntilAnswered(session, first)).baseOffset, 0n)
          yield* proxy.release("late")
          yield* Steps.sendOne(session, Steps.batch("late", 0, "b"))
          yield* session.end("commit")
        }).pipe(proxy.withRule(rule))
        assert.deepStrictEqual(yield* Steps.valuesIn("late", 2), ["a", "b"])
      })))
}

const ends = (it: Vitest.MethodsNonLive<Needs>, onProxy: OnProxy): void => {
  it.effect.each(
    [
      ["answer", "commit", FaultProxyRule.dropResponse],
      ["request", "abort", FaultProxyRule.dropRequest]
    ] as const
  )("a commit whose %s is lost is told as unanswered, and the marker proves a(n) %s", (
    [what, decided, fault]
  ) =>
    onProxy(`commit-${what}`, (proxy) =>
      Effect.gen(function*() {
        const topic = `commit-${what}`
        const { identity, session } = yield* Steps.open(topic, { requestTimeoutMillis })
        yield* session.begin
        const { baseOffset } = yield* Steps.sendOne(session, Steps.batch(topic, 0, "a"))
        const rule = fault({ api: "EndTxn", transactionalId: topic, commit: true, nth: 1 })
        const lost = yield* Effect.flip(session.end("commit")).pipe(proxy.withRule(rule))
        assert.strictEqual(Steps.told(lost), "EndTxn: NoAnswer")
        yield* Steps.open(topic)
        const marker = Steps.endMarker(topic, baseOffset, identity.producerId)
        assert.strictEqual(yield* Steps.until(marker, (told) => told !== "none yet"), decided)
      })))

  it.effect("an InitProducerId whose answer is lost is told as unanswered", () =>
    onProxy("lost-init", (proxy) => {
      const match = { api: "InitProducerId", transactionalId: "lost-init", nth: 1 } as const
      return Steps.open("lost-init", { requestTimeoutMillis }).pipe(
        Effect.flip,
        proxy.withRule(FaultProxyRule.dropResponse(match)),
        Effect.map((lost) => assert.strictEqual(Steps.told(lost), "InitProducerId: NoAnswer"))
      )
    }))
}

/** Codes of every kind: known to old clients and not, retriable and not. */
const codes = (
  it: Vitest.MethodsNonLive<Needs>,
  onProxy: OnProxy,
  neverSends: ReadonlyArray<Request>
): void => {
  it.effect("a refused request is told with its own code, after one attempt", () =>
    onProxy("codes", (proxy) =>
      Effect.gen(function*() {
        for (
          const [api, code] of [
            ["Produce", 6],
            ["Produce", 120],
            ["EndTxn", 51],
            ["EndTxn", 90],
            ["AddOffsetsToTxn", 14],
            ["TxnOffsetCommit", 16],
            ["TxnOffsetCommit", 113]
          ] as const
        ) {
          if (neverSends.includes(api)) continue
          const { session } = yield* Steps.open("codes", { requestTimeoutMillis })
          yield* session.begin
          const call = Effect.gen(function*() {
            if (api === "Produce") {
              return yield* Steps.sendOnce(session, Steps.batch("codes", 0, "a"))
            }
            if (api !== "EndTxn") return yield* session.sendOffsets(Steps.positions("codes", 0, 1n))
            yield* Steps.sendOne(session, Steps.batch("codes", 0, "a"))
            yield* session.end("commit")
          })
          yield* Steps.sendOne(session, Steps.batch("codes", 0, "a"))
          const refused = yield* Effect.scoped(Effect.gen(function*() {
            const match = { api, transactionalId: "codes" } as const
            const rule = yield* proxy.inject(FaultProxyRule.error(match, code))
            const error = yield* Effect.flip(call)
            assert.strictEqual(yield* rule.hits, 1)
            return error
          }))
          assert.strictEqual(Steps.told(refused), `${api}: ${code}`)
        }
      })))
}

const closing = (it: Vitest.MethodsNonLive<Needs>, onProxy: OnProxy): void => {
  it.effect("a session closed while a send waits has no socket and sends nothing more", () =>
    onProxy("pending", (proxy) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { session } = yield* Steps.open("pending", { requestTimeoutMillis: 3_000 }).pipe(
          Scope.provide(scope)
        )
        yield* session.begin
        const rule = yield* proxy.inject(
          FaultProxyRule.dropRequest({ api: "Produce", transactionalId: "pending" })
        )
        const sending = yield* Effect.forkChild(
          session.send([Steps.batch("pending", 0, "a")]),
          { startImmediately: true }
        )
        yield* rule.fired
        const requests = (yield* proxy.log.entries).length
        const opened = yield* proxy.connections.opened
        yield* Scope.close(scope, Exit.void)
        yield* proxy.connections.awaitOpen(0)
        yield* Fiber.await(sending)
        // Longer than a client's first pause before it tries again.
        yield* Effect.sleep("500 millis")
        assert.strictEqual(yield* proxy.connections.opened, opened)
        assert.strictEqual((yield* proxy.log.entries).length, requests)
        assert.deepStrictEqual(yield* Steps.appendedIn("pending"), [])
      })))
}
