/**
 * Whole runs on a broker, recorded and checked: the library's under faults, in which there must be
 * no anomaly; and the raw client's, whose loss the checker must find.
 */
import { assert, layer } from "@effect/vitest"
import * as FinalState from "@kafka-once/proof/FinalState"
import * as HistoryChecker from "@kafka-once/proof/HistoryChecker"
import * as HistoryIndex from "@kafka-once/proof/HistoryIndex"
import * as HistoryRecorder from "@kafka-once/proof/HistoryRecorder"
import * as LogReader from "@kafka-once/proof/LogReader"
import { timeouts } from "@kafka-once/proof/ProducerBench"
import * as ProxiedKafka from "@kafka-once/proof/ProxiedKafka"
import * as RecordedProducer from "@kafka-once/proof/RecordedProducer"
import * as Recorded from "@kafka-once/proof/RecordedTransaction"
import { EmbeddedKafka } from "@kafka-once/testing/EmbeddedKafka"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type * as FaultProxyWireLog from "@kafka-once/testing/FaultProxyWireLog"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Kafka, logLevel } from "kafkajs"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as KafkaJs from "../src/KafkaJs.ts"

const run = 20_261

const historyFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kafka-once-history-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "history.jsonl")
)

/** Reads what a run has left behind, and checks it against its history and the wire. */
const checked = Effect.fnUntraced(function*(topic: string, file: string) {
  const kafka = yield* EmbeddedKafka
  const proxy = yield* ProxiedKafka.Proxy
  yield* LogReader.readSettled(kafka, topic)
  const state = yield* FinalState.read(kafka, {
    run,
    topics: [topic],
    transactionalIdPrefix: topic
  })
  const history = yield* HistoryIndex.read([file])
  assert.strictEqual(yield* proxy.log.omitted, 0)
  const wire = yield* proxy.log.entries
  const check = (wire: ReadonlyArray<FaultProxyWireLog.Entry>) =>
    HistoryChecker.check(history, state, { wire })
  return { report: check(wire), lateReport: check(wire.map(answeredLate)) }
})

/** As if the answers to EndTxn and InitProducerId had come a minute later. */
const answeredLate = (entry: FaultProxyWireLog.Entry): FaultProxyWireLog.Entry =>
  entry.answer === null || (entry.api !== "EndTxn" && entry.api !== "InitProducerId")
    ? entry
    : { ...entry, answer: { ...entry.answer, timeMillis: entry.answer.timeMillis + 60_000 } }

/** The faults of the run: one for each transaction whose number is a key, until it has ended. */
const faults = (id: string): Readonly<Record<number, FaultProxyRule.FaultProxyRule>> => {
  const of = { transactionalId: id, nth: 1 } as const
  return {
    3: FaultProxyRule.dropResponse({ api: "Produce", ...of }),
    5: FaultProxyRule.dropResponse({ api: "EndTxn", commit: true, ...of }),
    6: FaultProxyRule.resetAfter({ api: "EndTxn", commit: true, ...of }),
    7: FaultProxyRule.dropRequest({ api: "EndTxn", commit: true, ...of }),
    9: FaultProxyRule.resetAfter({ api: "Produce", ...of }),
    11: FaultProxyRule.dropRequest({ api: "AddPartitionsToTxn", ...of }),
    13: FaultProxyRule.dropResponse({ api: "EndTxn", commit: false, ...of }),
    15: FaultProxyRule.error({ api: "EndTxn", commit: true, ...of }, "NOT_COORDINATOR"),
    18: FaultProxyRule.dropResponse({ api: "Produce", transactionalId: id }),
    19: FaultProxyRule.resetBefore({ api: "EndTxn", commit: true, ...of })
  }
}

/** Transactions whose body gives up: the abort of one of them has a fault. */
const givesUp: ReadonlyArray<number> = [1, 13, 16, 22]

const transactionOf =
  (topic: string, turn: number) => (handle: RecordedProducer.RecordedHandle) => {
    const record = (partition: number) => ({ topic, partition })
    return handle.send([record(0), record(1)]).pipe(
      Effect.andThen(
        Effect.all([handle.send([record(turn % 2)]), handle.send([record(0), record(0)])], {
          concurrency: 2
        })
      ),
      Effect.andThen(givesUp.includes(turn) ? Effect.fail("given up" as const) : Effect.void)
    )
  }

const soon = Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 2 }))

const library = Effect.fnUntraced(function*(topic: string, file: string) {
  const proxy = yield* ProxiedKafka.Proxy
  const recorder = yield* HistoryRecorder.make({ file, run, process: 1 })
  const driver = Layer.provide(
    HistoryRecorder.sessions(recorder),
    KafkaJs.layer({ brokers: [`${proxy.host}:${proxy.port}`] })
  )
  const transactionalId = `${topic}-id`
  const options = { transactionalId, ...timeouts }
  const producer = yield* Effect.provideContext(
    RecordedProducer.make(recorder, options),
    yield* Layer.build(driver)
  )
  const rules = faults(transactionalId)
  const exits: Array<string> = []
  for (let turn = 0; turn < 24; turn++) {
    const rule = rules[turn]
    const body = transactionOf(topic, turn)
    const transaction = turn % 4 === 2
      ? Effect.scoped(Effect.flatMap(producer.begin(5), body))
      : producer.withTransaction(5, body, { retry: soon })
    const exit = yield* Effect.exit(transaction).pipe(
      rule === undefined ? (same) => same : proxy.withRule(rule)
    )
    exits.push(Exit.isSuccess(exit) ? "committed" : "failed")
  }
  return exits
})

/** P1 with the raw client: the answers of a send are lost, it aborts, and the next one commits. */
const raw = Effect.fnUntraced(function*(topic: string, file: string) {
  const proxy = yield* ProxiedKafka.Proxy
  const recorder = yield* HistoryRecorder.make({ file, run, process: 1 })
  const id = `${topic}-id`
  const client = new Kafka({
    brokers: [`${proxy.host}:${proxy.port}`],
    logLevel: logLevel.NOTHING,
    requestTimeout: 500,
    retry: { retries: 3, initialRetryTime: 20, maxRetryTime: 100 }
  }).producer({ transactionalId: id, maxInFlightRequests: 1 })
  yield* Effect.acquireRelease(
    Effect.tryPromise(() => client.connect()),
    // By then the history has ended, and what is in the log is what counts.
    () => Effect.ignore(Effect.tryPromise(() => client.disconnect()))
  )
  const transact = Effect.gen(function*() {
    const transaction = yield* Effect.tryPromise(() => client.transaction())
    const record = Recorded.begin(recorder, id, 1)
    const sent = yield* Effect.exit(
      Recorded.send(
        record,
        [{ topic, partition: 0 }],
        ([value]) =>
          Effect.tryPromise(() =>
            transaction.send({ topic, messages: [{ partition: 0, value: Buffer.from(value!) }] })
          ).pipe(Effect.map(([answer]) => [
            { topic, partition: 0, offset: Number(answer?.baseOffset ?? -1) }
          ]))
      )
    )
    const decision = Exit.isSuccess(sent) ? "commit" : "abort"
    Recorded.ending(record, decision)
    yield* Effect.tryPromise(() => transaction[decision]())
    Recorded.ended(record, decision, decision === "commit" ? "Committed" : "Aborted", sent)
    return decision
  })
  const lost = FaultProxyRule.dropResponse({ api: "Produce", transactionalId: id })
  assert.strictEqual(yield* proxy.withRule(lost)(transact), "abort")
  assert.strictEqual(yield* transact, "commit")
})

layer(ProxiedKafka.layer(), { timeout: "3 minutes", excludeTestServices: true })(
  "a recorded run over kafkajs",
  (it) => {
    it.effect("under faults on the wire has no anomaly with the library", () =>
      Effect.gen(function*() {
        const { createTopic } = yield* EmbeddedKafka
        yield* createTopic("checked", { partitions: 2 })
        const file = yield* historyFile
        const exits = yield* Effect.scoped(library("checked", file))
        const failed = exits.flatMap((exit, turn) => exit === "failed" ? [turn] : [])
        const { lateReport, report } = yield* checked("checked", file)
        assert.isTrue(report.clean, HistoryChecker.render(report))
        // Everything else is committed in the end, but for the one whose answers are all lost.
        assert.deepStrictEqual(failed, [1, 13, 16, 18, 22])
        assert.strictEqual(report.transactions.committed, 24 - failed.length)
        assert.isAbove(report.transactions.aborted, failed.length - 1)
        assert.strictEqual(report.records.visible, 5 * report.transactions.committed)
        assert.isAbove(report.records.inLog, report.records.visible)
        // That the wire log was held against the history at all.
        assert.isAtLeast(lateReport.counts.H3, 24)
      }).pipe(Effect.scoped))

    it.effect("with the raw client loses an acknowledged record, which is found (P1)", () =>
      Effect.gen(function*() {
        const { createTopic } = yield* EmbeddedKafka
        yield* createTopic("raw")
        const file = yield* historyFile
        yield* Effect.scoped(raw("raw", file))
        const { report } = yield* checked("raw", file)
        const { H1, S1, S7 } = report.counts
        assert.deepStrictEqual({ H1, S1, S7 }, { H1: 1, S1: 1, S7: 1 })
        const finding = report.findings.find(({ anomaly }) => anomaly === "S7")
        assert.include(finding?.what, "transaction 1/1 was acknowledged at raw-0 offset")
        assert.include(finding?.block, "ABORT")
      }).pipe(Effect.scoped))
  }
)
