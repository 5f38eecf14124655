import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Kafka, logLevel } from "kafkajs"
import * as FaultProxyRule from "../src/FaultProxyRule.ts"
import {
  awaitMarkers,
  begin,
  call,
  commit,
  createTopic,
  disconnect,
  producer,
  readValues,
  Rig,
  send,
  wire
} from "./FaultProxyRig.ts"

/** What the broker answered to both copies of a request, and what of it the client was given. */
const answers = Effect.fnUntraced(function*(
  api: FaultProxyRule.ApiName,
  clientId: string,
  after = 0
) {
  const { proxy } = yield* Rig
  yield* proxy.log.awaitFrame({ api, clientId, nth: 2, phase: "response" }, { after })
  const entries = yield* proxy.log.entries
  return entries
    .filter((entry) =>
      entry.position >= after && entry.api === api && entry.clientId === clientId &&
      entry.action === "duplicateRequest"
    )
    .map(({ answer }) => answer!)
})

/** A producer whose records nobody numbers. */
const plainProducer = Effect.fnUntraced(function*(clientId: string) {
  const { proxy } = yield* Rig
  const kafka = new Kafka({
    clientId,
    brokers: [`${proxy.host}:${proxy.port}`],
    logLevel: logLevel.NOTHING
  })
  const client = kafka.producer({ idempotent: false, maxInFlightRequests: 1 })
  yield* Effect.acquireRelease(
    call(() => client.connect()),
    () => disconnect(client)
  )
  return client
})

layer(Rig.layer, { timeout: "3 minutes", excludeTestServices: true })(
  "a request that a fault proxy doubles",
  (it) => {
    it.effect("is done twice by the broker, and answered once", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const client = yield* wire("twice")
        const initialize = client.request("InitProducerId", 2, {
          transactionalId: "twice",
          transactionTimeoutMs: 10_000
        })
        // The first use of a fresh broker makes its coordinator, which takes a moment.
        yield* initialize.pipe(Effect.repeat({ until: ({ errorCode }) => errorCode === 0 }))
        const after = yield* proxy.log.position
        const told = yield* initialize.pipe(
          proxy.withRule(
            FaultProxyRule.duplicateRequest({ api: "InitProducerId", clientId: "twice" })
          )
        )
        const [first, second] = yield* answers("InitProducerId", "twice", after)
        assert.deepInclude(first, { errorCode: 0, delivered: true, producerEpoch: 1 })
        assert.deepInclude(second, { errorCode: 0, delivered: false, producerEpoch: 2 })
        assert.strictEqual(told.producerEpoch, 1)
        // The second answer is not taken for that of the next request.
        assert.isAbove((yield* client.request("Metadata", 9, { topics: [] })).brokers.length, 0)
      }))

    it.effect("when it is a Produce of a transaction, is one batch in the log", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        yield* createTopic("produce")
        const client = yield* producer({ clientId: "produce" })
        const transaction = yield* begin(client)
        yield* send(transaction, "produce", "one").pipe(
          proxy.withRule(FaultProxyRule.duplicateRequest({ api: "Produce", clientId: "produce" }))
        )
        yield* send(transaction, "produce", "two")
        yield* commit(transaction)
        assert.deepStrictEqual(yield* awaitMarkers("produce", 1), ["one", "two", "commit"])
        const [first, second] = yield* answers("Produce", "produce")
        assert.deepInclude(first, { errorCode: 0, delivered: true })
        assert.deepInclude(second, { errorCode: 0, delivered: false })
      }))

    it.effect("when it is a Produce without a producer id, is two records in the log", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        yield* createTopic("plain")
        const client = yield* plainProducer("plain")
        yield* call(() => client.send({ topic: "plain", messages: [{ value: "one" }] })).pipe(
          proxy.withRule(FaultProxyRule.duplicateRequest({ api: "Produce", clientId: "plain" }))
        )
        yield* call(() => client.send({ topic: "plain", messages: [{ value: "two" }] }))
        assert.deepStrictEqual(yield* readValues("plain"), ["one", "one", "two"])
      }))

    it.effect("without an answer, is written twice all the same", () =>
      Effect.gen(function*() {
        const { proxy } = yield* Rig
        const clientId = "unanswered"
        yield* createTopic(clientId)
        const client = yield* plainProducer(clientId)
        const message = { topic: clientId, messages: [{ value: "one" }] }
        const rule = FaultProxyRule.duplicateRequest({ api: "Produce", clientId, nth: 1 })
        yield* call(() => client.send({ ...message, acks: 0 })).pipe(
          // Answered, on the same connection: both copies were before it.
          Effect.andThen(call(() => client.send(message))),
          proxy.withRule(rule)
        )
        assert.deepStrictEqual(yield* readValues(clientId), ["one", "one", "one"])
      }))
  }
)
