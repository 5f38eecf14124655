/**
 * Readers stand still: a record came so late that its transaction had ended, and opened another one
 * that nobody will end. An operator finds it and ends it, and readers go on.
 *
 * Kafka 3.6 and newer verify that a partition is in a transaction, and refuse such a record; here
 * the check is switched off, and the cluster speaks version 1 of the protocol, as older ones do.
 */
import { assert, it } from "@effect/vitest"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionAdmin from "@kafka-once/core/TransactionAdmin"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Platformatic from "@kafka-once/platformatic/Platformatic"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as EmbeddedKafka from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Effect from "effect/Effect"

const pay = (transactionalId: string, value: string) =>
  Effect.gen(function*() {
    const producer = yield* TransactionalProducer.make({
      transactionalId,
      requestTimeout: "1 second",
      deliveryTimeout: "3 seconds"
    })
    yield* Transaction.send([{ topic: "orders", key: "42", value }]).pipe(
      producer.withTransaction()
    )
  }).pipe(Effect.scoped)

/** What an operator does: look, and end what nobody else will. */
const endWhatHangs = Effect.gen(function*() {
  const admin = yield* TransactionAdmin.TransactionAdmin
  // Without `olderThan`: what is older than any transaction in good order can be, 15 minutes.
  const hanging = yield* admin.findHanging({ topics: ["orders"], olderThan: 0 })
  yield* Effect.forEach(hanging, (transaction) => admin.abort(transaction))
  return hanging
}).pipe(Effect.provide(TransactionAdmin.layer()))

it.live("an operator ends a transaction that nobody will end, and readers go on", () =>
  Effect.gen(function*() {
    const proxy = yield* FaultProxy.make()
    const kafka = yield* EmbeddedKafka.make({
      proxiedPorts: [proxy.port],
      features: { "transaction.version": 1 },
      properties: { "transaction.partition.verification.enable": "false" }
    })
    const [host, port] = kafka.proxied[0]!.upstream.split(":")
    yield* proxy.connectTo({ host: host!, port: Number(port) })
    yield* kafka.createTopic("orders")
    const seen = Effect.map(
      CommittedRecords.read({ ...kafka, topic: "orders" }),
      (records) => records.map(({ value }) => value && new TextDecoder().decode(value))
    )

    yield* Effect.gen(function*() {
      // The record is held up in the network, and its transaction is aborted meanwhile.
      const held = { api: "Produce", transactionalId: "example-13-a" } as const
      const rule = yield* proxy.inject(FaultProxyRule.hold(held, "late"))
      const failure = yield* Effect.flip(pay("example-13-a", "late"))
      assert.strictEqual(failure._tag === "KafkaError" && failure.reason._tag, "TimedOut")
      yield* rule.fired
      yield* proxy.release("late")
      yield* proxy.log.awaitFrame({ ...held, phase: "forwarded" }, { timeout: "5 seconds" })

      yield* pay("example-13-b", "paid")
      assert.deepStrictEqual(yield* seen, [])

      const ended = yield* endWhatHangs
      assert.deepStrictEqual(
        ended.map(({ transactionalId }) => transactionalId),
        ["example-13-a"]
      )
      assert.deepStrictEqual(yield* seen, ["paid"])
    }).pipe(Effect.provide(Platformatic.layer({ brokers: [`${proxy.host}:${proxy.port}`] })))
  }))
