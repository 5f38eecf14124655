import { assert, layer } from "@effect/vitest"
import * as KafkaJs from "@kafka-once/kafkajs/KafkaJs"
import * as CommittedRecords from "@kafka-once/testing/CommittedRecords"
import * as FaultProxy from "@kafka-once/testing/FaultProxy"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as SharedKafka from "@kafka-once/testing/SharedKafka"
import * as Effect from "effect/Effect"
import { Kafka, logLevel, Partitioners } from "kafkajs"
import { createServer } from "node:net"
import * as Steps from "../src/DriverSteps.ts"
import * as LogReader from "../src/LogReader.ts"
import * as PartitionLog from "../src/PartitionLog.ts"

/** Records outside any transaction, in partition 0. */
const sendPlain = (brokers: ReadonlyArray<string>, topic: string, ...values: Array<string>) =>
  Effect.tryPromise(async () => {
    const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING })
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    await producer.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) })
    await producer.disconnect()
  })

/** Transactions of every kind; the scope holds one of them open. */
const write = Effect.fnUntraced(function*(topic: string) {
  const kafka = yield* SharedKafka.SharedKafka
  // The records are of 2023, which a broker would delete at its next look.
  yield* kafka.createTopic(topic, { partitions: 2, config: { "retention.ms": "-1" } })
  const batch = (...values: ReadonlyArray<string>) => Steps.batch(topic, 0, ...values)
  yield* sendPlain(kafka.bootstrapServers, topic, "plain")
  const one = yield* Steps.open(`${topic}-one`)
  const two = yield* Steps.open(`${topic}-two`)
  yield* Steps.transact(one.session, [batch("committed"), Steps.batch(topic, 1, "far")], "commit")
  yield* Steps.transact(one.session, [batch("aborted")], "abort")
  yield* one.session.begin
  yield* two.session.begin
  yield* Steps.sendOne(one.session, batch("kept 1"))
  yield* Steps.sendOne(two.session, batch("dropped 1"))
  yield* Steps.sendOne(one.session, batch("kept 2", "kept 3"))
  yield* Steps.sendOne(two.session, batch("dropped 2"))
  yield* two.session.end("abort")
  yield* one.session.sendOffsets(Steps.positions(topic, 0, 7n))
  yield* one.session.end("commit")
  // Fenced while its transaction is open: the coordinator aborts it under the same producer id.
  yield* two.session.begin
  yield* Steps.sendOne(two.session, batch("fenced"))
  const again = yield* Steps.open(`${topic}-two`)
  yield* Steps.transact(again.session, [batch("after the fence")], "commit")
  return { kafka, one, two, again }
})

layer(SharedKafka.layer, { timeout: "3 minutes", excludeTestServices: true })("LogReader", (it) => {
  const withDriver = <A, E>(
    test: Effect.Effect<A, E, Effect.Services<ReturnType<typeof write>>>
  ) =>
    Effect.gen(function*() {
      const { bootstrapServers: brokers } = yield* SharedKafka.SharedKafka
      return yield* test.pipe(Effect.scoped, Effect.provide(KafkaJs.layer({ brokers })))
    })

  it.effect("a topic that does not exist, and a broker that is none, are typed failures", () =>
    Effect.gen(function*() {
      const kafka = yield* SharedKafka.SharedKafka
      const absent = yield* Effect.flip(LogReader.read(kafka, "absent"))
      assert.include(absent.message, "reading the topic absent")
      assert.include(absent.message, "UNKNOWN_TOPIC_OR_PARTITION (3)")
      const nobody = yield* Effect.flip(
        LogReader.listTransactions({ bootstrapServers: ["127.0.0.1:9"] })
      )
      assert.strictEqual(nobody.reason._tag, "NotAnswered")
      const unknown = yield* Effect.flip(LogReader.describeTransaction(kafka, "nobody's"))
      assert.include(unknown.message, "TRANSACTIONAL_ID_NOT_FOUND")
    }))

  it.effect("a server that says nothing is given up within the limit", () =>
    Effect.gen(function*() {
      const port = yield* silence
      const error = yield* Effect.flip(
        LogReader.read({ bootstrapServers: [`127.0.0.1:${port}`], limit: "300 millis" }, "any")
      )
      assert.include(error.message, "not within 300 ms")
    }).pipe(Effect.scoped))

  it.effect("a leader that moves while its partition is read is followed", () =>
    withDriver(Effect.gen(function*() {
      const { kafka } = yield* write("moves")
      const logs = yield* LogReader.readSettled(kafka, "moves")
      const [listener] = kafka.proxied
      assert(listener !== undefined)
      const proxy = yield* FaultProxy.make({
        ...address(listener.advertised),
        target: address(listener.upstream)
      })
      const read = LogReader.read({ bootstrapServers: [listener.advertised] }, "moves")
      for (const api of ["ListOffsets", "Fetch"] as const) {
        const moved = FaultProxyRule.error({ api, nth: [1, 3] }, "NOT_LEADER_OR_FOLLOWER")
        const before = yield* proxy.log.position
        assert.deepStrictEqual(yield* proxy.withRule(moved)(read), logs)
        // For the topic, for its two partitions, and after each of the three refusals.
        const entries = yield* proxy.log.entries
        const lookups = entries.filter((one) => one.position >= before && one.api === "Metadata")
        assert.strictEqual(lookups.length, 6)
      }
    })))

  it.effect("what is visible is what Java reads, also beside an open transaction", () =>
    withDriver(Effect.gen(function*() {
      const { kafka, one } = yield* write("decisions")
      const settled = (yield* LogReader.readSettled(kafka, "decisions")).flatMap(told)
      assert.deepStrictEqual(settled, expected)
      yield* one.session.begin
      yield* Steps.sendOne(one.session, Steps.batch("decisions", 0, "open"))
      yield* sendPlain(kafka.bootstrapServers, "decisions", "behind")
      const logs = yield* LogReader.read(kafka, "decisions")
      assert.deepStrictEqual(logs.flatMap(told), [
        ...expected.slice(0, -1),
        "open open",
        "plain behind",
        ...expected.slice(-1)
      ])
      for (const isolation of ["read_committed", "read_uncommitted"] as const) {
        const records = isolation === "read_committed"
          ? logs.flatMap(PartitionLog.visible)
          : logs.flatMap(PartitionLog.decide)
        const java = yield* CommittedRecords.read({ ...kafka, topic: "decisions", isolation })
        assert.deepStrictEqual(records.map(addressOf), java.map(addressOf))
      }
      const held = LogReader.readSettled({ ...kafka, limit: "200 millis" }, "decisions")
      const open = yield* Effect.flip(held)
      assert.strictEqual(open.reason._tag, "NotSettled")
      assert.include(open.message, `partition 0 from offset ${logs[0]?.lastStableOffset} on`)
    })))

  it.effect("batches name their producer, epoch and sequence, and markers their decision", () =>
    withDriver(Effect.gen(function*() {
      const { again, kafka, one, two } = yield* write("batches")
      const [log] = yield* LogReader.readSettled(kafka, "batches")
      const rows = log?.batches.map((batch) => [
        batch.producerId === one.identity.producerId
          ? "one"
          : batch.producerId === two.identity.producerId
          ? "two"
          : "none",
        batch.producerEpoch,
        batch.control ?? batch.baseSequence,
        batch.recordCount
      ])
      // A fenced transaction is ended in the name of an epoch between the old and the new one.
      const [first, fence, later] = [
        two.identity.epoch,
        two.identity.epoch + 1,
        again.identity.epoch
      ]
      assert.deepStrictEqual(rows, [
        // kafkajs writes an epoch and a sequence of 0 where there is no producer id.
        ["none", 0, 0, 1],
        ["one", 0, 0, 1],
        ["one", 0, "commit", 1],
        ["one", 0, 1, 1],
        ["one", 0, "abort", 1],
        ["one", 0, 2, 1],
        ["two", first, 0, 1],
        ["one", 0, 3, 2],
        ["two", first, 1, 1],
        ["two", first, "abort", 1],
        ["one", 0, "commit", 1],
        ["two", first, 2, 1],
        ["two", fence, "abort", 1],
        ["two", later, 0, 1],
        ["two", later, "commit", 1]
      ])
    })))

  it.effect("coordinators and leaders tell what is open, and a group its offsets", () =>
    withDriver(Effect.gen(function*() {
      const { kafka, one } = yield* write("asked")
      assert.deepStrictEqual(yield* LogReader.openTransactions(kafka, "asked-"), [])
      yield* one.session.begin
      const { baseOffset } = yield* Steps.sendOne(one.session, Steps.batch("asked", 0, "open"))
      const { epoch: producerEpoch, producerId } = one.identity
      assert.deepStrictEqual(yield* LogReader.openTransactions(kafka, "asked-"), [
        { transactionalId: "asked-one", producerId, state: "Ongoing" }
      ])
      assert.deepStrictEqual(yield* LogReader.describeTransaction(kafka, "asked-one"), {
        transactionalId: "asked-one",
        producerId,
        producerEpoch,
        state: "Ongoing",
        timeoutMillis: 15_000,
        partitions: [{ topic: "asked", partition: 0 }]
      })
      const producers = yield* LogReader.describeProducers(kafka, "asked")
      assert.deepStrictEqual(producers.filter(({ openSince }) => openSince !== null), [
        { partition: 0, producerId, producerEpoch, lastSequence: 5, openSince: baseOffset }
      ])
      assert.deepStrictEqual(yield* LogReader.committedOffsets(kafka, "asked"), [
        { topic: "asked", partition: 0, offset: 7n, metadata: "token" }
      ])
    })))
})

const expected = [
  "plain plain",
  "committed committed",
  "aborted aborted",
  "committed kept 1",
  "aborted dropped 1",
  "committed kept 2",
  "committed kept 3",
  "aborted dropped 2",
  "aborted fenced",
  "committed after the fence",
  "committed far"
]

const told = (log: PartitionLog.PartitionLog) =>
  PartitionLog.decide(log).map((record) => `${record.decision} ${PartitionLog.textOf(record)}`)

const addressOf = (
  record: Pick<PartitionLog.Decided, "partition" | "offset" | "timestamp" | "value">
) => `${record.partition}/${record.offset} ${record.timestamp} ${PartitionLog.textOf(record)}`

const address = (text: string) => {
  const [host = "", port] = text.split(":")
  return { host, port: Number(port) }
}

/** A port that takes connections and says nothing. */
const silence = Effect.acquireRelease(
  Effect.callback<ReturnType<typeof createServer>>((resume) => {
    const server = createServer((socket) => socket.on("error", () => undefined))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(Effect.map((server) => (server.address() as { readonly port: number }).port))
