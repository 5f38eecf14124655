/** What a check of a million records costs. */
import { assert, it } from "vitest"
import * as FinalState from "../src/FinalState.ts"
import type { Event } from "../src/History.ts"
import * as HistoryChecker from "../src/HistoryChecker.ts"
import * as HistoryIndex from "../src/HistoryIndex.ts"
import * as RecordStamp from "../src/RecordStamp.ts"

const records = Number(process.env["HISTORY_RECORDS"] ?? 1_000_000)
const perTransaction = 100
const perSend = 25
const partitions = 10
const transactions = records / perTransaction
const run = 1

const megabytes = (): number => {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return Math.round((arrayBuffers + heapUsed) / 1e6)
}

/** Transactions of four sends to one partition each, one after the other; every fifth aborts. */
function* events(): Generator<Event> {
  const process = 1
  let t = 1e9
  yield { _tag: "open", t, process, run, wallMillis: 0 }
  yield { _tag: "init.ok", t, process, id: "a", session: 0, producerId: 1, epoch: 0 }
  const ends = new Float64Array(partitions)
  for (let transaction = 0; transaction < transactions; transaction++) {
    const of = { process, transaction }
    yield { _tag: "begin", t: t++, ...of, id: "a", session: 0, count: perTransaction }
    const decision = transaction % 5 === 0 ? "abort" : "commit"
    for (let operation = 0; operation < perTransaction / perSend; operation++) {
      const partition = (transaction + operation) % partitions
      const indices = Array.from({ length: perSend }, (_, at) => operation * perSend + at)
      const place = { topic: "t", partition, indices }
      yield { _tag: "send.inv", t: t++, ...of, operation, records: [place] }
      const offsets = indices.map((_, at) => ends[partition]! + at)
      ends[partition]! += perSend + 1
      yield { _tag: "send.ok", t: t++, ...of, operation, acks: [{ ...place, offsets }] }
    }
    yield { _tag: "end.inv", t: t++, ...of, decision }
    yield { _tag: "end.ok", t: t++, ...of, decision }
    const outcome = decision === "commit" ? "Committed" : "Aborted"
    yield { _tag: "result", t: t++, ...of, outcome, resolved: false, error: null, recovery: null }
  }
}

const makeState = (): FinalState.FinalState => {
  const states = Array.from({ length: partitions }, (_, at) => FinalState.emptyPartition("t", at))
  const sequences = new Int32Array(partitions)
  for (let transaction = 0; transaction < transactions; transaction++) {
    for (let send = 0; send < perTransaction / perSend; send++) {
      const at = (transaction + send) % partitions
      const state = states[at]!
      const baseOffset = BigInt(state.highWatermark)
      const producer = { producerId: 1n, producerEpoch: 0, isTransactional: true, crc: 0 }
      FinalState.append(state, {
        ...producer,
        baseOffset,
        baseSequence: sequences[at]!,
        control: null,
        coordinatorEpoch: null,
        records: Array.from({ length: perSend }, (_, record) => ({
          offset: baseOffset + BigInt(record),
          value: RecordStamp.encode({
            run,
            process: 1,
            session: 0,
            transaction,
            index: send * perSend + record,
            count: perTransaction,
            inputPartition: -1,
            inputOffset: -1
          })
        }))
      })
      sequences[at]! += perSend
      FinalState.append(state, {
        ...producer,
        baseOffset: baseOffset + BigInt(perSend),
        baseSequence: -1,
        control: transaction % 5 === 0 ? "abort" : "commit",
        coordinatorEpoch: 0,
        records: []
      })
      state.highWatermark += perSend + 1
      state.lastStableOffset = state.highWatermark
    }
  }
  return { run, partitions: states, groups: [], transactions: [], producers: [], aggregates: [] }
}

it("a million records are checked within 10 s and 250 MB", { timeout: 600_000 }, () => {
  const before = megabytes()
  const begun = performance.now()
  const state = makeState()
  const read = performance.now()
  const history = HistoryIndex.fromEvents(events())
  const indexed = performance.now()
  const report = HistoryChecker.check(history, state)
  const seconds = (performance.now() - indexed) / 1000
  const used = megabytes() - before
  assert.isTrue(report.clean, HistoryChecker.render(report))
  assert.strictEqual(report.records.inLog, records)
  assert.strictEqual(report.records.visible, records * 0.8)
  process.stdout.write(
    `${records} records: columns ${((read - begun) / 1000).toFixed(1)} s, index ` +
      `${((indexed - read) / 1000).toFixed(1)} s, check ${seconds.toFixed(1)} s, ${used} MB\n`
  )
  assert.isBelow(seconds, 10 * records / 1e6)
  assert.isBelow(used, 250 * records / 1e6)
})
