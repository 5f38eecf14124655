/** What is this driver's own, on a broker behind a proxy that sees every frame. */
import { assert, layer, type Vitest } from "@effect/vitest"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Platformatic from "../src/Platformatic.ts"

const { batch, open, sendOnce, sendUntilAnswered, told, transact } = DriverSteps

type It = Vitest.MethodsNonLive<EmbeddedKafka.EmbeddedKafka | ProxiedKafka.Proxy>

const requestTimeoutMillis = 500

/** Runs with a driver through the proxy, on a topic of its own. */
const proxied = <A, E, R>(
  topic: string,
  test: (proxy: ProxiedKafka.Proxy["Service"]) => Effect.Effect<A, E, R>,
  options: Partial<Platformatic.Options> = {}
) =>
  Effect.gen(function*() {
    const { createTopic } = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* ProxiedKafka.Proxy
    yield* createTopic(topic, { partitions: 3 })
    const driver = Platformatic.layer({ brokers: proxy.addresses, ...options })
    return yield* Effect.scoped(test(proxy)).pipe(Effect.provide(driver))
  })

/** What a transactional id has sent, in the order of the wire. */
const sentBy = (proxy: ProxiedKafka.Proxy["Service"], transactionalId: string) =>
  Effect.map(
    proxy.log.entries,
    (entries) => entries.filter((entry) => entry.transactionalId === transactionalId)
  )

const connections = (it: It): void => {
  it.effect("many transactional ids share a few connections, and all of them commit", () =>
    proxied(
      "shared",
      (proxy) =>
        Effect.gen(function*() {
          const before = yield* proxy.connections.opened
          const ids = Array.from({ length: 64 }, (_, index) => `shared-${index}`)
          yield* Effect.forEach(ids, (id, index) =>
            Effect.gen(function*() {
              const { session } = yield* open(id)
              yield* transact(session, [batch("shared", index % 3, id)], "commit")
            }), { concurrency: "unbounded" })
          assert.isAtMost((yield* proxy.connections.opened) - before, 2)
          const visible = yield* DriverSteps.valuesIn("shared", ids.length)
          assert.deepStrictEqual([...visible].sort(), [...ids].sort())
        }),
      { connectionsPerBroker: 2 }
    ))

  it.effect("closing the driver closes every connection", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      yield* proxied("closing", () =>
        Effect.forEach(["a", "b", "c", "d", "e"], (id) =>
          open(`closing-${id}`), {
          concurrency: "unbounded"
        }))
      yield* proxy.connections.awaitOpen(0).pipe(Effect.timeout("1 second"))
    }))

  it.effect("an interrupted send is the end of its session, and of no other", () =>
    proxied("interrupted", (proxy) =>
      Effect.gen(function*() {
        const one = yield* open("interrupted-one", { requestTimeoutMillis })
        const other = yield* open("interrupted-other", { requestTimeoutMillis })
        yield* one.session.begin
        const rule = yield* proxy.inject(
          FaultProxyRule.delay({ api: "Produce", transactionalId: "interrupted-one" }, 200)
        )
        const sending = yield* Effect.forkChild(
          one.session.send([batch("interrupted", 0, "never told")])
        )
        yield* rule.fired
        yield* Fiber.interrupt(sending)
        yield* transact(other.session, [batch("interrupted", 0, "other")], "commit")
        const again = yield* Effect.flip(sendOnce(one.session, batch("interrupted", 0, "next")))
        assert.strictEqual(told(again), "Produce: Refused")
        const next = yield* open("interrupted-one", { requestTimeoutMillis })
        yield* transact(next.session, [batch("interrupted", 0, "replaced")], "commit")
        assert.deepStrictEqual(yield* DriverSteps.valuesIn("interrupted", 2), ["other", "replaced"])
      })))
}

const protocol = (it: It): void => {
  it.effect("every transaction has an epoch of its own, and no request but those it needs", () =>
    proxied("epochs", (proxy) =>
      Effect.gen(function*() {
        const { identity, session } = yield* open("epochs")
        for (const end of ["commit", "abort", "commit"] as const) {
          yield* transact(session, [batch("epochs", 0, end)], end)
        }
        const sent = (yield* sentBy(proxy, "epochs")).filter(({ api }) => api !== "FindCoordinator")
        const [first, ...rest] = sent
        assert.deepInclude(first, { api: "InitProducerId", version: 5 })
        const served = rest.filter(({ answer }) => answer?.errorCode !== 51)
        assert.deepStrictEqual(
          served.map(({ api, version }) => `${api} ${version}`),
          [1, 2, 3].flatMap(() => ["Produce 12", "EndTxn 5"])
        )
        assert.deepStrictEqual(
          served.filter(({ api }) => api === "EndTxn").map(({ producerEpoch }) => producerEpoch),
          [0, 1, 2].map((nth) => identity.epoch + nth)
        )
      })))

  it.effect("the group of offsets is fenced by its generation", () =>
    proxied("generation", () =>
      Effect.gen(function*() {
        const { session } = yield* open("generation")
        yield* session.begin
        const offsets = DriverSteps.positions("generation", 0, 1n)
        const membership = { generationId: 7, memberId: "zombie", groupInstanceId: null }
        const error = yield* DriverSteps.persist(session.sendOffsets({ ...offsets, membership }))
          .pipe(Effect.flip)
        assert.include(["TxnOffsetCommit: 22", "TxnOffsetCommit: 25"], told(error))
        yield* session.end("abort")
      })))

  it.effect("a batch that may have been appended is repeated, and nothing takes its place", () =>
    proxied("unclear", (proxy) =>
      Effect.gen(function*() {
        const { session } = yield* open("unclear", { requestTimeoutMillis })
        yield* session.begin
        const first = batch("unclear", 0, "first")
        const lost = FaultProxyRule.dropResponse({
          api: "Produce",
          transactionalId: "unclear",
          nth: 1
        })
        yield* Effect.flip(sendOnce(session, first)).pipe(proxy.withRule(lost))
        const other = yield* Effect.flip(sendOnce(session, batch("unclear", 0, "other")))
        assert.strictEqual(told(other), "Produce: Refused")
        const appended = yield* sendUntilAnswered(session, first)
        assert.strictEqual(appended.baseOffset, 0n)
        yield* sendUntilAnswered(session, batch("unclear", 0, "second"))
        yield* session.end("commit")
        assert.deepStrictEqual(yield* DriverSteps.valuesIn("unclear", 2), ["first", "second"])
      })))

  it.effect("only the same end may be asked for again", () =>
    proxied("same-end", (proxy) =>
      Effect.gen(function*() {
        const { session } = yield* open("same-end", { requestTimeoutMillis })
        yield* session.begin
        yield* DriverSteps.sendOne(session, batch("same-end", 0, "a"))
        const lost = { api: "EndTxn", transactionalId: "same-end", nth: 1 } as const
        const error = yield* Effect.flip(session.end("commit")).pipe(
          proxy.withRule(FaultProxyRule.dropResponse(lost))
        )
        assert.strictEqual(told(error), "EndTxn: NoAnswer")
        assert.strictEqual(told(yield* Effect.flip(session.end("abort"))), "EndTxn: Refused")
        yield* DriverSteps.persist(session.end("commit"))
        yield* transact(session, [batch("same-end", 0, "b")], "commit")
        assert.deepStrictEqual(yield* DriverSteps.valuesIn("same-end", 2), ["a", "b"])
      })))

  it.effect("a leader or coordinator that is none any more is looked up anew", () =>
    proxied("moved", (proxy) =>
      Effect.gen(function*() {
        const { session } = yield* open("moved")
        const rules = [
          FaultProxyRule.error({ api: "Produce", transactionalId: "moved", nth: 1 }, 6),
          FaultProxyRule.error({ api: "EndTxn", transactionalId: "moved", nth: 1 }, 16)
        ] as const
        const after = yield* proxy.log.position
        yield* Effect.gen(function*() {
          yield* session.begin
          yield* DriverSteps.sendOne(session, batch("moved", 0, "a"))
          yield* DriverSteps.persist(session.end("commit"))
        }).pipe(proxy.withRule(rules[0]), proxy.withRule(rules[1]))
        const later = (yield* proxy.log.entries).filter(({ position }) => position >= after)
        assert.deepStrictEqual(
          later.map(({ api }) => api),
          [
            "Metadata",
            "Produce",
            "Metadata",
            "Produce",
            "EndTxn",
            "FindCoordinator",
            "EndTxn"
          ]
        )
        assert.deepStrictEqual(yield* DriverSteps.valuesIn("moved", 1), ["a"])
      })))
}

const compression = (it: It): void => {
  it.effect.each(["none", "gzip", "snappy", "lz4", "zstd"] as const)(
    "records compressed with %s are read by the Java client",
    (codec) =>
      proxied(
        `compressed-${codec}`,
        () =>
          Effect.gen(function*() {
            const topic = `compressed-${codec}`
            const values = Array.from({ length: 50 }, (_, index) => `${index}`.repeat(100))
            const { session } = yield* open(topic)
            yield* transact(session, [batch(topic, 0, ...values)], "commit")
            assert.deepStrictEqual(yield* DriverSteps.valuesIn(topic, 50), values)
            // What is in the log says how it was compressed.
            const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
            assert.strictEqual(yield* codecOf(bootstrapServers[0] ?? "", topic), codec)
          }),
        { compression: codec }
      )
  )
}

const codecNames = ["none", "gzip", "snappy", "lz4", "zstd"] as const

/** The lowest three bits of the attributes, 21 bytes into the first batch of partition 0. */
const codecOf = Effect.fnUntraced(function*(address: string, topic: string) {
  const [host = "", port = ""] = address.split(":")
  const client = yield* ProtocolClient.connect(host, Number(port))
  const { responses } = yield* client.request("Fetch", 4, {
    maxWaitMs: 1_000,
    minBytes: 1,
    maxBytes: 1_000_000,
    topics: [{
      topic,
      partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000 }]
    }]
  })
  const records = responses[0]?.partitions[0]?.records
  return codecNames[(records?.[22] ?? 0) & 7]
}, Effect.scoped)

layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
  "platformatic on the wire",
  (it) => {
    connections(it)
    protocol(it)
    compression(it)
  }
)
