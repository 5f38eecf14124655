/**
 * What kafkajs does wrong, and that it does not happen through the driver, seen on the wire and in
 * the log of a real broker. K is a number of the README's table; faults.test.ts has others.
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import * as ConsumerOptions from "@kafka-once/core/ConsumerOptions"
import type * as DriverPort from "@kafka-once/core/KafkaDriver"
import * as ProducerOptions from "@kafka-once/core/ProducerOptions"
import * as ConsumerSteps from "@kafka-once/proof/ConsumerSteps"
import * as DriverSteps from "@kafka-once/proof/DriverSteps"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { createRequire } from "node:module"
import * as KafkaJs from "../src/KafkaJs.ts"

const { batch, endMarker, open, positions, sendAll, sendOnce, sendOne, told, until, valuesIn } =
  DriverSteps

const driver = Layer.unwrap(
  Effect.map(ProxiedKafka.Proxy, ({ addresses }) => KafkaJs.layer({ brokers: addresses }))
)
const requestTimeoutMillis = 800

/** A topic and a session of its own, in a transaction. */
const begun = Effect.fnUntraced(function*(
  topic: string,
  { partitions = 1, timeoutMillis = requestTimeoutMillis } = {}
) {
  const kafka = yield* EmbeddedKafka
  yield* kafka.createTopic(topic, { partitions })
  const opened = yield* open(topic, { requestTimeoutMillis: timeoutMillis })
  yield* opened.session.begin
  return opened
})

/** The requests so far that name a transactional id. */
const requestsOf = (transactionalId: string) =>
  Effect.gen(function*() {
    const { log } = yield* ProxiedKafka.Proxy
    return (yield* log.entries).filter((entry) => entry.transactionalId === transactionalId)
  })

const countOf = (api: string, entries: ReadonlyArray<{ readonly api: string }>) =>
  entries.filter((entry) => entry.api === api).length

/** Each request was sent when the one before it had been answered. */
const assertInTurn = (entries: ReadonlyArray<FaultProxyWireLog.Entry>): void => {
  for (const [index, { timeMillis }] of entries.entries()) {
    const ahead = entries[index - 1]
    if (ahead !== undefined) assert.isAtLeast(timeMillis, ahead.answer?.timeMillis ?? Infinity)
  }
}

interface Lock {
  readonly [name: symbol]: unknown
}

/** How often kafkajs' locks are asked for from now on, and how many waited for one at once. */
const waitersForLocks = Effect.acquireRelease(
  Effect.sync(() => {
    const { prototype }: { prototype: { acquire: (this: Lock) => Promise<void> } } = createRequire(
      import.meta.url
    )("kafkajs/src/utils/lock.js")
    const { acquire } = prototype
    let asked = 0
    let most = 0
    prototype.acquire = function() {
      const acquired = acquire.call(this)
      const symbol = Object.getOwnPropertySymbols(this).find(({ description }) =>
        description === "private:Lock:waiting"
      )
      const waiting = symbol === undefined ? null : this[symbol]
      asked += 1
      most = Math.max(most, waiting instanceof Set ? waiting.size : Infinity)
      return acquired
    }
    return {
      asked: () => asked,
      most: () => most,
      restore: () => {
        prototype.acquire = acquire
      }
    }
  }),
  ({ restore }) => Effect.sync(restore)
)

type It = Vitest.MethodsNonLive<DriverPort.KafkaDriver | EmbeddedKafka | ProxiedKafka.Proxy>

const attempts = (it: It): void => {
  it.effect("a refused TxnOffsetCommit is sent once, and told with its code (K2)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("k2")
      for (const code of [14, 15, 16]) {
        const before = countOf("TxnOffsetCommit", yield* requestsOf("k2"))
        const refused = yield* Effect.flip(session.sendOffsets(positions("k2", 0, 1n))).pipe(
          proxy.withRule(FaultProxyRule.error(
            { api: "TxnOffsetCommit", transactionalId: "k2" },
            code
          ))
        )
        assert.strictEqual(told(refused), `TxnOffsetCommit: ${code}`)
        assert.strictEqual(countOf("TxnOffsetCommit", yield* requestsOf("k2")), before + 1)
      }
    }))

  it.effect.each(["AddOffsetsToTxn", "EndTxn"] as const)(
    "an unanswered %s is sent once, after one look-up, and told as itself (K3)",
    (api) =>
      Effect.gen(function*() {
        const proxy = yield* ProxiedKafka.Proxy
        const id = `k3-${api}`
        const { session } = yield* begun(id)
        yield* sendOne(session, batch(id, 0, "a"))
        const before = (yield* requestsOf(id)).length
        const call = api === "EndTxn"
          ? session.end("commit")
          : session.sendOffsets(positions(id, 0, 1n))
        const lost = yield* Effect.flip(call).pipe(
          proxy.withRule(FaultProxyRule.dropResponse({ api, transactionalId: id }))
        )
        assert.strictEqual(told(lost), `${api}: NoAnswer`)
        const sent = (yield* requestsOf(id)).slice(before)
        assert.deepStrictEqual(sent.map((entry) => entry.api), ["FindCoordinator", api])
      })
  )

  it.effect("a session costs one InitProducerId (K25)", () =>
    Effect.gen(function*() {
      const { session } = yield* begun("k25")
      yield* sendOne(session, batch("k25", 0, "a"))
      yield* session.end("commit")
      assert.strictEqual(countOf("InitProducerId", yield* requestsOf("k25")), 1)
    }))

  it.effect("a refusal to a member that leaves is no rejection that nobody handles (K26)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const kafka = yield* EmbeddedKafka
      yield* kafka.createTopic("k26")
      const rejections: Array<unknown> = []
      const note = (reason: unknown) => rejections.push(reason)
      process.prependListener("unhandledRejection", note)
      yield* Effect.scoped(
        Effect.flatMap(
          ConsumerSteps.open(ConsumerSteps.options("k26", ["k26"])),
          (session) => ConsumerSteps.assignedOf(session)
        )
      ).pipe(
        // An error for the group, and one for the member.
        proxy.withRule(FaultProxyRule.error({ api: "LeaveGroup" }, "REQUEST_TIMED_OUT")),
        // Node tells of rejections when its queue of promises is empty.
        Effect.andThen(Effect.promise(() => new Promise(setImmediate))),
        Effect.ensuring(Effect.sync(() => process.removeListener("unhandledRejection", note)))
      )
      assert.deepStrictEqual(rejections, [])
    }))

  it.effect("the broker ends a transaction after the time that was given (K15)", () =>
    Effect.gen(function*() {
      const { transactionTimeout } = ProducerOptions.defaults
      const { rebalanceTimeout, sessionTimeout } = ConsumerOptions.defaults
      // A member that is dead is out of its group only when its transaction is over.
      assert.isBelow(Duration.toMillis(transactionTimeout), Duration.toMillis(sessionTimeout))
      assert.isBelow(Duration.toMillis(sessionTimeout), Duration.toMillis(rebalanceTimeout))
      const kafka = yield* EmbeddedKafka
      yield* kafka.createTopic("k15")
      const { identity, session } = yield* open("k15", { transactionTimeoutMillis: 1_000 })
      yield* session.begin
      const { baseOffset } = yield* sendOne(session, batch("k15", 0, "a"))
      const marker = endMarker("k15", baseOffset, identity.producerId)
      assert.strictEqual(yield* until(marker, (answer) => answer !== "none yet"), "abort")
    }))
}

const sequences = (it: It): void => {
  it.effect("a batch that is sent again keeps its sequence and its partition (K4, K7)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("k7", { partitions: 4 })
      yield* sendOne(session, batch("k7", 2, "first"))
      const again = batch("k7", 2, "again")
      const lost = yield* Effect.flip(sendOnce(session, again)).pipe(
        proxy.withRule(FaultProxyRule.dropResponse({
          api: "Produce",
          transactionalId: "k7",
          nth: 1
        }))
      )
      assert.strictEqual(told(lost), "Produce: NoAnswer")
      // The broker has it already, knows its sequence, and answers with the offset that it has.
      const appended = yield* DriverSteps.sendUntilAnswered(session, again)
      assert.strictEqual(appended.baseOffset, 1n)
      yield* session.end("commit")
      const records = yield* DriverSteps.recordsIn("k7", 2)
      assert.deepStrictEqual(records.map(({ partition }) => partition), [2, 2])
      assert.deepStrictEqual(yield* valuesIn("k7", 2), ["first", "again"])
    }))

  it.effect("of many sends at once one is on the wire, and none waits for a lock (K18)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("k18", { partitions: 8, timeoutMillis: 10_000 })
      yield* sendOne(session, batch("k18", 0, "first"))
      const before = countOf("Produce", yield* requestsOf("k18"))
      const held = yield* proxy.inject(FaultProxyRule.hold(
        { api: "Produce", transactionalId: "k18", phase: "response", nth: 1 },
        "k18"
      ))
      const waiters = yield* waitersForLocks
      const sending = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 40 }, (_, index) => index),
          (index) => sendOne(session, batch("k18", index % 8, `${index}`)),
          { concurrency: "unbounded" }
        ),
        { startImmediately: true }
      )
      yield* held.fired
      // Another session has its requests answered meanwhile; of this one no other is sent.
      yield* open("k18-meanwhile")
      assert.strictEqual(countOf("Produce", yield* requestsOf("k18")), before + 1)
      yield* proxy.release("k18")
      yield* Fiber.join(sending)
      assert.isAtLeast(waiters.asked(), 40)
      assert.strictEqual(waiters.most(), 0)
      yield* session.end("commit")
      assert.lengthOf(yield* valuesIn("k18", 41), 41)
      assertInTurn((yield* requestsOf("k18")).filter(({ api }) => api === "Produce"))
    }))

  it.effect("offsets go without a member or generation, and that is declared (K11)", () =>
    Effect.gen(function*() {
      const kafka = yield* EmbeddedKafka
      yield* kafka.createTopic("k11")
      const { session } = yield* begun("k11-offsets")
      yield* DriverSteps.persist(session.sendOffsets(positions("k11", 0, 1n)))
      yield* session.end("commit")
      const [commit] = (yield* requestsOf("k11-offsets")).filter(({ api }) =>
        api === "TxnOffsetCommit"
      )
      // From version 3 on the request has them.
      assert.isBelow(commit?.version ?? 99, 3)
      assert.isFalse(KafkaJs.capabilities.groupFencing)
      assert.isFalse(KafkaJs.capabilities.stableOffsets)
    }))
}

layer(driver.pipe(Layer.provideMerge(ProxiedKafka.layer())), {
  timeout: "3 minutes",
  excludeTestServices: true
})("kafkajs' defects", (it) => {
  attempts(it)
  sequences(it)
})

layer(driver.pipe(Layer.provideMerge(ProxiedKafka.layer({ nodes: 3 }))), {
  timeout: "3 minutes",
  excludeTestServices: true
})("kafkajs' defects, with several brokers", (it) => {
  it.effect("no broker is written to while another one has not answered (K6)", () =>
    Effect.gen(function*() {
      const proxy = yield* ProxiedKafka.Proxy
      const { session } = yield* begun("k6", { partitions: 3, timeoutMillis: 10_000 })
      const batches = [0, 1, 2].map((partition) => batch("k6", partition, `${partition}`))
      // The first time registers the partitions.
      yield* sendAll(session, batches)
      const produces = Effect.map(
        requestsOf("k6"),
        (entries) => entries.filter(({ api }) => api === "Produce")
      )
      const before = (yield* produces).length
      const held = yield* proxy.inject(FaultProxyRule.hold(
        { api: "Produce", transactionalId: "k6", phase: "response", nth: 1 },
        "k6"
      ))
      const sending = yield* Effect.forkChild(session.send(batches), { startImmediately: true })
      yield* held.fired
      yield* open("k6-meanwhile")
      assert.lengthOf(yield* produces, before + 1)
      yield* proxy.release("k6")
      const answers = yield* Fiber.join(sending)
      assert.isTrue(answers.every(Result.isSuccess))
      const sent = (yield* produces).slice(before)
      assert.strictEqual(new Set(sent.map(({ connection }) => connection)).size, 3)
      assertInTurn(sent)
      yield* session.end("commit")
      assert.lengthOf(yield* valuesIn("k6", 6), 6)
    }))
})
