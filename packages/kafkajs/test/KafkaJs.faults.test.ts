/** What kafkajs alone does wrong, and how each is walled in; K and P are numbers in the README. */
import { assert, layer, type Vitest } from "@effect/vitest"
import * as DriverPort from "@kafka-once/core/KafkaDriver"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Result from "effect/Result"
import { Kafka, logLevel } from "kafkajs"
import * as KafkaJs from "../src/KafkaJs.ts"

const { batch, endMarker, open, sendOnce, sendOne, told, until, valuesIn } = DriverSteps

const driver = Layer.unwrap(
  Effect.map(
    ProxiedKafka.Proxy,
    ({ host, port }) => KafkaJs.layer({ brokers: [`${host}:${port}`], metadataMaxAge: "1 milli" })
  )
)
const requestTimeoutMillis = 800

/** A topic and a session of its own, in a transaction. */
const begun = Effect.fnUntraced(function*(topic: string, partitions = 1) {
  const kafka = yield* EmbeddedKafka
  yield* kafka.createTopic(topic, { partitions })
  const opened = yield* open(topic, { requestTimeoutMillis })
  yield* opened.session.begin
  return opened
})

/** The transactional requests of a transactional id so far, by name. */
const requestsOf = (transactionalId: string) =>
  Effect.gen(function*() {
    const proxy = yield* ProxiedKafka.Proxy
    const entries = yield* proxy.log.entries
    return entries.filter((entry) => entry.transactionalId === transactionalId).map(({ api }) =>
      api
    )
  })

/** kafkajs' own admin, for what the embedded broker does not offer. */
const withAdmin = (use: (admin: ReturnType<Kafka["admin"]>) => Promise<unknown>) =>
  Effect.gen(function*() {
    const { bootstrapServers } = yield* EmbeddedKafka
    const kafka = new Kafka({ brokers: [...bootstrapServers], logLevel: logLevel.NOTHING })
    const admin = kafka.admin()
    yield* Effect.tryPromise(() =>
      admin.connect().then(() => use(admin)).finally(() => admin.disconnect())
    )
  })

type It = Vitest.MethodsNonLive<DriverPort.KafkaDriver | EmbeddedKafka | ProxiedKafka.Proxy>

const losses = (it: It): void => {
  it.effect("an interrupted send does not go on to Produce (K5, P2)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("interrupted")
      const match = { api: "AddPartitionsToTxn", transactionalId: "interrupted" } as const
      const rule = yield* proxy.inject(
        FaultProxyRule.hold({ ...match, phase: "response" }, "registered")
      )
      const sending = yield* Effect.forkChild(session.send([batch("interrupted", 0, "a")]), {
        startImmediately: true
      })
      yield* rule.fired
      yield* Fiber.interrupt(sending)
      yield* proxy.connections.awaitOpen(0)
      const ended = yield* Effect.flip(session.end("commit"))
      assert.strictEqual(told(ended), "Connect: NotSent")
      const requests = yield* requestsOf("interrupted")
      assert.strictEqual(requests.at(-1), "AddPartitionsToTxn")
    }))

  it.effect("a connection whose answers stop coming is not used again", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("muted")
      const match = { api: "Produce", transactionalId: "muted", nth: 1 } as const
      const lost = yield* Effect.flip(sendOnce(session, batch("muted", 0, "a"))).pipe(
        proxy.withRule(FaultProxyRule.mute(match))
      )
      assert.strictEqual(told(lost), "Produce: NoAnswer")
      yield* sendOne(session, batch("muted", 0, "a"))
      yield* session.end("commit")
      assert.deepStrictEqual(yield* valuesIn("muted", 1), ["a"])
    }))

  it.effect("a registration without an answer is followed by no Produce, and can be repeated", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("registration")
      const match = { api: "AddPartitionsToTxn", transactionalId: "registration", nth: 1 } as const
      const lost = yield* Effect.flip(sendOnce(session, batch("registration", 0, "a"))).pipe(
        proxy.withRule(FaultProxyRule.dropResponse(match))
      )
      assert.strictEqual(told(lost), "AddPartitionsToTxn: NoAnswer")
      assert.notInclude(yield* requestsOf("registration"), "Produce")
      yield* sendOne(session, batch("registration", 0, "a"))
      yield* session.end("commit")
      assert.deepStrictEqual(yield* valuesIn("registration", 1), ["a"])
    }))

  it.effect("the end of a transaction that may be registered is never taken for done unsent", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      for (
        const [end, api] of [["commit", "AddPartitionsToTxn"], [
          "abort",
          "AddOffsetsToTxn"
        ]] as const
      ) {
        const topic = `unsent-${end}`
        const { session } = yield* begun(topic)
        const send = api === "AddOffsetsToTxn"
          ? session.sendOffsets(DriverSteps.positions(topic, 0, 1n))
          : Effect.asVoid(sendOnce(session, batch(topic, 0, "a")))
        const lost = yield* Effect.flip(send).pipe(
          proxy.withRule(FaultProxyRule.dropResponse({ api, transactionalId: topic }))
        )
        assert.strictEqual(told(lost), `${api}: NoAnswer`)
        assert.strictEqual(told(yield* Effect.flip(session.end(end))), "EndTxn: NotSent")
      }
    }))
}

const coordinators = (it: It): void => {
  it.effect("a refused InitProducerId is told after one attempt (K9, K13)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const driver = yield* DriverPort.KafkaDriver
      const session = yield* driver.openSession({
        transactionalId: "once",
        transactionTimeoutMillis: 15_000,
        requestTimeoutMillis
      })
      const match = { api: "InitProducerId", transactionalId: "once" } as const
      const rule = yield* proxy.inject(FaultProxyRule.error(match, "CONCURRENT_TRANSACTIONS"))
      assert.strictEqual(told(yield* Effect.flip(session.initialize)), "InitProducerId: 51")
      assert.strictEqual(yield* rule.hits, 1)
    }))

  it.effect("a coordinator that is not found keeps EndTxn from being sent, and is told (K1)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("no-coordinator")
      yield* sendOne(session, batch("no-coordinator", 0, "a"))
      const match = { api: "FindCoordinator", transactionalId: "no-coordinator" } as const
      const lost = yield* Effect.flip(session.end("commit")).pipe(
        proxy.withRule(FaultProxyRule.dropResponse(match))
      )
      assert.strictEqual(told(lost), "FindCoordinator: NoAnswer")
      // kafkajs is stuck in COMMITTING from here on (K1): the session has to be replaced.
      assert.strictEqual(told(yield* Effect.flip(session.end("commit"))), "Connect: Refused")
      assert.notInclude(yield* requestsOf("no-coordinator"), "EndTxn")
    }))

  it.effect("the code of a coordinator look-up is not lost (K13, P13)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const rule = FaultProxyRule.error({ api: "FindCoordinator", transactionalId: "k13" }, 53)
      const refused = yield* Effect.flip(open("k13")).pipe(proxy.withRule(rule))
      assert.strictEqual(told(refused), "FindCoordinator: 53")
    }))
}

const sequences = (it: It): void => {
  it.effect("DUPLICATE_SEQUENCE_NUMBER is an append, and then the partition is closed (K12)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("duplicate", 2)
      yield* sendOne(session, batch("duplicate", 0, "a"))
      const rule = FaultProxyRule.error({ api: "Produce", transactionalId: "duplicate" }, 46)
      const appended = yield* sendOnce(session, batch("duplicate", 0, "a")).pipe(
        proxy.withRule(rule)
      )
      assert.strictEqual(appended.baseOffset, -1n)
      const next = yield* Effect.flip(sendOnce(session, batch("duplicate", 0, "b")))
      assert.strictEqual(told(next), "Produce: Refused")
      yield* sendOne(session, batch("duplicate", 1, "c"))
      yield* session.end("commit")
      assert.deepStrictEqual(yield* valuesIn("duplicate", 2), ["a", "c"])
    }))

  it.effect("what kafkajs would lose or fail on is refused before it is written (K19, K21)", () =>
    Effect.gen(function*() {
      const { session } = yield* begun("refused")
      const before = yield* requestsOf("refused")
      const twice = yield* session.send([batch("refused", 0, "a"), batch("refused", 0, "b")])
      const [record] = batch("refused", 0, "a").records
      assert(record !== undefined)
      // Untyped programs can have one without a value.
      const headless = { ...record, headers: [["a", null as unknown as Uint8Array]] as const }
      const empty = yield* session.send([{ topic: "refused", partition: 0, records: [headless] }])
      for (const answer of [...twice, ...empty]) {
        assert(Result.isFailure(answer))
        assert.strictEqual(told(answer.failure), "Produce: Refused")
      }
      assert.deepStrictEqual(yield* requestsOf("refused"), before)
    }))

  it.effect("of two sends at once neither takes the other's sequence (K19, P14)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("at-once")
      yield* sendOne(session, batch("at-once", 0, "first"))
      const before = (yield* requestsOf("at-once")).length
      const rule = FaultProxyRule.dropResponse({
        api: "Produce",
        transactionalId: "at-once",
        nth: 1
      })
      const [one, two] = yield* Effect.all([
        Effect.result(sendOnce(session, batch("at-once", 0, "one"))),
        Effect.result(sendOnce(session, batch("at-once", 0, "two")))
      ], { concurrency: 2 }).pipe(proxy.withRule(rule))
      // The driver keeps them apart; that the second must not be sent now is for the library to
      // know.
      assert.isTrue(Result.isFailure(one))
      assert.isTrue(Result.isSuccess(two))
      assert.deepStrictEqual((yield* requestsOf("at-once")).slice(before), ["Produce", "Produce"])
    }))
}

const strangers = (it: It): void => {
  it.effect("an answer whose bytes are not Kafka's is told as such", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("garbage")
      yield* sendOne(session, batch("garbage", 0, "a"))
      // The byte at 4 is the first of the correlation id.
      const match = { api: "Produce", transactionalId: "garbage", phase: "response" } as const
      const error = yield* Effect.flip(sendOnce(session, batch("garbage", 0, "b"))).pipe(
        proxy.withRule(FaultProxyRule.corrupt(match, 4))
      )
      assert.strictEqual(told(error), "Produce: NotKafka")
    }))

  it.effect("a topic that is deleted does not keep a session from sending to another", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka
      yield* kafka.createTopic("deleted")
      const { session } = yield* begun("survivor")
      yield* sendOne(session, batch("deleted", 0, "a"))
      yield* session.end("abort")
      yield* withAdmin((admin) => admin.deleteTopics({ topics: ["deleted"] }))
      yield* session.begin
      yield* sendOne(session, batch("survivor", 0, "b"))
      yield* session.end("commit")
      assert.deepStrictEqual(yield* valuesIn("survivor", 1), ["b"])
    }))

  it.effect("end markers are found between batches that kafkajs cannot decompress", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka
      yield* kafka.createTopic("zstd", { config: { "compression.type": "zstd" } })
      const { identity, session } = yield* open("zstd")
      yield* session.begin
      const { baseOffset } = yield* sendOne(session, batch("zstd", 0, "a"))
      for (let index = 0; index < 20; index++) {
        yield* sendOne(session, batch("zstd", 0, "x".repeat(900_000)))
      }
      yield* session.end("abort")
      const marker = endMarker("zstd", baseOffset, identity.producerId)
      assert.strictEqual(yield* until(marker, (answer) => answer !== "none yet"), "abort")
      yield* withAdmin((admin) =>
        admin.fetchTopicMetadata({ topics: ["zstd"] }).then(() =>
          admin.deleteTopicRecords({ topic: "zstd", partitions: [{ partition: 0, offset: "5" }] })
        )
      )
      assert.strictEqual(yield* marker, "gone")
    }))
}

const logs = (it: It): void => {
  it.effect("kafkajs' log goes to Effect's, below Info, and never holds a record (K9)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { createTopic } = yield* EmbeddedKafka
      yield* createTopic("logged")
      const entries: Array<readonly [level: string, text: string]> = []
      const collect = Logger.make(({ logLevel, message }) => {
        entries.push([logLevel, JSON.stringify(message)])
      })
      const kafka = Layer.fresh(KafkaJs.layer({ brokers: [`${proxy.host}:${proxy.port}`] })).pipe(
        Layer.provide(Layer.mergeAll(
          Logger.layer([collect]),
          Layer.succeed(References.MinimumLogLevel, "Trace")
        ))
      )
      yield* Effect.scoped(Effect.gen(function*() {
        const { session } = yield* open("logged")
        for (let index = 0; index < 5; index++) {
          yield* session.begin
          yield* sendOne(session, batch("logged", 0, "a private value"))
          yield* session.end("commit")
        }
        yield* session.begin
        const match = { api: "AddPartitionsToTxn", transactionalId: "logged" } as const
        yield* Effect.flip(sendOnce(session, batch("logged", 0, "a private value"))).pipe(
          proxy.withRule(FaultProxyRule.error(match, 51))
        )
      })).pipe(Effect.provide(kafka))
      assert.isAbove(entries.length, 50)
      assert.deepStrictEqual([...new Set(entries.map(([level]) => level))].sort(), [
        "Debug",
        "Trace"
      ])
      assert.isFalse(entries.some(([, text]) => text.includes("private")))
    }))
}

layer(driver.pipe(Layer.provideMerge(ProxiedKafka.layer())), {
  timeout: "3 minutes",
  excludeTestServices: true
})("kafkajs under faults", (it) => {
  losses(it)
  coordinators(it)
  sequences(it)
  strangers(it)
  logs(it)
})
