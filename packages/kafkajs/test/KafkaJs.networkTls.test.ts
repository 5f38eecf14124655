/** The proxy takes TLS apart and puts it together again: its faults work for clients with TLS. */
import { assert, layer } from "@effect/vitest"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as LogReader from "@kafka-once/proof/LogReader"
import { send, soon, timeouts } from "@kafka-once/proof/ProducerBench"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KafkaJs from "../src/KafkaJs.ts"

class Proxy extends Context.Service<Proxy, FaultProxy.FaultProxy>()("test/Proxy") {
  static readonly layer = Layer.unwrap(Effect.gen(function*() {
    const proxy = yield* FaultProxy.make({ tls: true })
    const connected = Effect.gen(function*() {
      const { proxied } = yield* EmbeddedKafka.EmbeddedKafka
      const [host = "", port] = proxied[0]?.upstream.split(":") ?? []
      yield* proxy.connectTo({ host, port: Number(port) })
      return proxy
    })
    return Layer.effect(Proxy, connected).pipe(
      Layer.provideMerge(EmbeddedKafka.layer({ proxiedPorts: [proxy.port] }))
    )
  }))
}

/** Pays twice, under a fault on the first commit, and tells what can be read. */
const paid = (transactionalId: string, fault: FaultProxyRule.FaultProxyRule) =>
  Effect.gen(function*() {
    const kafka = yield* EmbeddedKafka.EmbeddedKafka
    const proxy = yield* Proxy
    const brokers = [`${proxy.host}:${proxy.port}`]
    yield* kafka.createTopic(transactionalId)
    yield* Effect.gen(function*() {
      const producer = yield* TransactionalProducer.make({ ...timeouts, transactionalId })
      const pay = (value: string) =>
        send(transactionalId, value).pipe(producer.withTransaction({ retry: soon }))
      yield* pay("one").pipe(proxy.withRule(fault))
      yield* pay("two")
    }).pipe(
      Effect.scoped,
      Effect.provide(KafkaJs.layer({ brokers, tls: { ca: proxy.certificate ?? "" } }))
    )
    return yield* LogReader.visibleValues(kafka, transactionalId)
  })

layer(Proxy.layer, { timeout: "3 minutes", excludeTestServices: true })(
  "kafkajs with TLS, through a fault proxy",
  (it) => {
    const match = (transactionalId: string) =>
      ({ api: "EndTxn", commit: true, nth: 1, transactionalId }) as const

    it.effect.each([
      FaultProxyRule.dropResponse(match("drop-response")),
      FaultProxyRule.dropRequest(match("drop-request")),
      FaultProxyRule.resetBefore(match("reset-before")),
      FaultProxyRule.resetAfter(match("reset-after")),
      FaultProxyRule.error(match("error"), "NOT_COORDINATOR"),
      FaultProxyRule.duplicateRequest(match("duplicate"))
    ])("a commit under $action.type is there once", (fault) =>
      Effect.gen(function*() {
        const values = yield* paid(fault.match.transactionalId ?? "", fault)
        assert.deepStrictEqual(values, ["one", "two"])
      }))
  }
)
