/**
 * Your own service under a lost commit response: a proxy that knows the protocol stands between the
 * service and a real broker, and loses exactly that answer.
 *
 * A rule that never fired fails its test, so that the test cannot go on passing when the service
 * stops committing.
 */
import { assert, it } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"

/** The service under test: it writes one order a transaction, and runs again what was aborted. */
const service = (brokers: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const producer = yield* TransactionalProducer.make({
      transactionalId: "example-07",
      requestTimeout: "1 second"
    })
    yield* Transaction.send([{ topic: "orders", key: "42", value: "paid" }]).pipe(
      producer.withTransaction({ retry: Transaction.defaultSchedule })
    )
  }).pipe(Effect.scoped, Effect.provide(KafkaJs.layer({ brokers })))

it.live("an order is written once when the answer of its commit is lost", () =>
  Effect.gen(function*() {
    // The broker advertises the proxy's port, so that the service stays on the proxy.
    const proxy = yield* FaultProxy.make()
    const kafka = yield* EmbeddedKafka.make({ proxiedPorts: [proxy.port] })
    const [host, port] = kafka.proxied[0]!.upstream.split(":")
    yield* proxy.connectTo({ host: host!, port: Number(port) })
    yield* kafka.createTopic("orders")

    const lost = FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, nth: 1 })
    yield* service([`${proxy.host}:${proxy.port}`]).pipe(proxy.withRule(lost))

    const { bootstrapServers, classPath } = kafka
    const records = yield* CommittedRecords.read({ bootstrapServers, classPath, topic: "orders" })
    assert.lengthOf(records, 1)
  }))
