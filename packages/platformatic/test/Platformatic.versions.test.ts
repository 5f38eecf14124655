/** The versions of the protocol: the oldest that the driver speaks, and a change while it runs. */
import { assert, layer } from "@effect/vitest"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Link from "../src/internal/link.ts"
import type { Message } from "../src/internal/message.ts"
import * as RecordBatch from "../src/internal/recordBatch.ts"
import * as Requests from "../src/internal/requests.ts"
import * as Platformatic from "../src/Platformatic.ts"
import { settings } from "./linkSettings.ts"

const { batch, open, persist, transact, until } = DriverSteps

const nobody = { producerId: -1n, epoch: -1 }
const none = { generationId: -1, memberId: "", groupInstanceId: null }

/** A message that speaks only its oldest version, or only its newest of the same protocol. */
const only = <A>(which: "oldest" | "newest", message: Message<A>): Message<A> => {
  const version = message.versions[which === "oldest" ? 0 : 1]
  return { ...message, versions: [version, version] }
}

/** One transaction by hand, each request in its oldest or its newest version. */
const transaction = (link: Link.Link, which: "oldest" | "newest", topic: string) =>
  Effect.gen(function*() {
    const ask = <A>(message: Message<A>, codeOf: (answer: A) => number) =>
      link.request(only(which, message), 3_000).pipe(
        Effect.repeat({ until: (answer) => !busy.has(codeOf(answer)), times: 200 }),
        Effect.tap((answer) =>
          Effect.sync(() => assert.strictEqual(codeOf(answer), 0, message.request))
        )
      )
    const id = `${topic}-${which}`
    const { identity } = yield* ask(
      Requests.initProducerId(id, 15_000, nobody),
      ({ code }) => code
    )
    const actor = { transactionalId: id, ...identity }
    const partition = { topic, partition: 0 }
    const firstCode = (codes: ReadonlyArray<Requests.PartitionCode>) =>
      codes.find(({ code }) => code !== 0)?.code ?? 0
    yield* ask(Requests.addPartitionsToTxn(actor, [partition]), firstCode)
    const { records } = batch(topic, 0, which)
    const bytes = RecordBatch.encode(actor, 0, records, "none")
    yield* ask(Requests.produce(id, 3_000, [{ ...partition, bytes }], 1), firstCode)
    yield* ask(Requests.addOffsetsToTxn(actor, id), (code) => code)
    const offsets = { groupId: id, membership: none, metadata: "", positions: [] }
    const positions = [{ ...partition, offset: 1n }]
    yield* ask(Requests.txnOffsetCommit(actor, { ...offsets, positions }, 1), firstCode)
    yield* ask(Requests.endTxn(actor, true, 1), ({ code }) => code)
  })

/** "Not yet". */
const busy = new Set([14, 15, 16, 51])

const upgrade = 1
const safeDowngrade = 2

/** Sets the cluster's level of `transaction.version`. */
const setVersion = Effect.fnUntraced(function*(level: 1 | 2) {
  const { bootstrapServers } = yield* EmbeddedKafka.EmbeddedKafka
  const [host = "", port = ""] = (bootstrapServers[0] ?? "").split(":")
  const client = yield* ProtocolClient.connect(host, Number(port))
  const answer = yield* client.request("UpdateFeatures", 1, {
    timeoutMs: 10_000,
    featureUpdates: [{
      feature: "transaction.version",
      maxVersionLevel: level,
      upgradeType: level === 2 ? upgrade : safeDowngrade
    }]
  })
  assert.strictEqual(answer.errorCode, 0, JSON.stringify(answer))
}, Effect.scoped)

layer(ProxiedKafka.layer({ features: { "transaction.version": 1 } }), {
  timeout: "3 minutes",
  excludeTestServices: true
})("platformatic in several versions", (it) => {
  it.effect("the oldest version of each request is understood, and the newest", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      yield* kafka.createTopic("versions")
      const [host = "", port = ""] = (kafka.bootstrapServers[0] ?? "").split(":")
      const link = yield* Effect.acquireRelease(
        Link.open(settings, { host, port: Number(port) }, () => {}),
        (link) => link.close
      )
      for (const which of ["oldest", "newest"] as const) {
        yield* transaction(link, which, "versions")
      }
      assert.deepStrictEqual(yield* DriverSteps.valuesIn("versions", 2), ["oldest", "newest"])
    }).pipe(Effect.scoped))

  it.effect("a cluster that changes its version is followed between transactions", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka.EmbeddedKafka
      const proxy = yield* ProxiedKafka.Proxy
      yield* kafka.createTopic("changing")
      const version = Effect.map(
        proxy.log.entries,
        (entries) =>
          entries.findLast(({ api, transactionalId }) =>
            api === "EndTxn" && transactionalId === "changing"
          )?.version
      )
      yield* Effect.gen(function*() {
        const { session } = yield* open("changing")
        const next = (value: string) =>
          Effect.andThen(
            transact(session, [batch("changing", 0, value)], "commit"),
            version
          )
        assert.strictEqual(yield* next("a"), 4)
        yield* setVersion(2)
        assert.strictEqual(yield* until(next("b"), (version) => version === 5), 5)
        const other = { ...DriverSteps.positions("changing", 0, 1n) }
        yield* session.begin
        yield* persist(session.sendOffsets(other))
        yield* session.end("commit")
        yield* setVersion(1)
        assert.strictEqual(yield* until(next("c"), (version) => version === 4), 4)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Platformatic.layer({ brokers: proxy.addresses, metadataMaxAge: "1 millis" })
        )
      )
      const values = yield* DriverSteps.valuesIn("changing", 3)
      assert.includeMembers([...values], ["a", "b", "c"])
    }))
})
