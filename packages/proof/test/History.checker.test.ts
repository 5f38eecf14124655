import { assert, describe, it } from "vitest"
import type { Event } from "../src/History.ts"
import * as HistoryChecker from "../src/HistoryChecker.ts"
import * as HistoryIndex from "../src/HistoryIndex.ts"
import { exam, mutations } from "./history/exam.ts"
import { eventsOf, pickVisible, remove } from "./history/lookup.ts"
import { validWorld } from "./history/validWorld.ts"
import { stateOf } from "./history/world.ts"

exam({ valid: 200, broken: 8 })

describe("the exam of the history checker", () => {
  it.each(Object.keys(HistoryChecker.anomalies))("has two questions or more on %s", (anomaly) => {
    const questions = mutations.filter((mutation) => mutation.anomaly === anomaly)
    assert.isAtLeast(new Set(questions.map(({ name }) => name)).size, 2)
  })
})

describe("the report of the history checker", () => {
  const world = validWorld(1)
  const lost = pickVisible(world)!
  const before = lost.partition.batches[lost.partition.batches.indexOf(lost.batch) - 1]!
  remove(lost.batch.records, lost.record)
  const { process, transaction } = lost.record.stamp
  const report = HistoryChecker.check(
    HistoryIndex.fromEvents(world.events as ReadonlyArray<Event>),
    stateOf(world)
  )
  const finding = report.findings.find(({ anomaly }) => anomaly === "S1")

  it("names the transaction and the place of an offence", () => {
    assert.deepInclude(finding, {
      transaction: { process, number: transaction },
      topic: lost.partition.topic,
      partition: lost.partition.partition,
      offset: lost.record.offset
    })
    assert.include(finding?.what, `transaction ${process}/${transaction} is committed`)
  })

  it("shows the lines of the log around it, markers among them", () => {
    const block = finding?.block ?? ""
    const { topic, partition } = lost.partition
    assert.include(block, `${topic}-${partition}, around offset ${lost.record.offset}:`)
    assert.include(block, `${before.baseOffset} pid ${before.producerId} epoch ${before.epoch}`)
    assert.match(block, /COMMIT|ABORT/)
    assert.match(block, /sequence \d+ transaction \d+\/\d+ record \d+ of \d+, \w+/)
    assert.include(HistoryChecker.render(report), block.split("\n")[1]!.trim())
  })

  it("says how much was looked at, so that nothing is not taken for clean", () => {
    const empty = HistoryIndex.fromEvents([])
    const nothing = { ...stateOf(world), partitions: [], groups: [], transactions: [] }
    const { clean, records, transactions } = HistoryChecker.check(empty, nothing)
    assert.isTrue(clean)
    assert.deepStrictEqual(records, { inLog: 0, visible: 0, copied: 0 })
    assert.deepStrictEqual(transactions, { committed: 0, aborted: 0, unknown: 0 })
    assert.isAbove(report.transactions.committed, 10)
    assert.isAbove(report.records.inLog, 100)
  })

  it("blames only who was to ask for an unknown outcome, which a pipeline is not", () => {
    const findings = (recovery: "resolve" | null) => {
      const world = validWorld(1)
      const answers = eventsOf(world, "result").filter(({ resolved }) => resolved)
      assert.isNotEmpty(answers)
      for (const answer of answers) remove(world.events, answer)
      for (const told of eventsOf(world, "result")) {
        if (told.outcome === "Unknown") told.recovery = recovery
      }
      return HistoryChecker.check(
        HistoryIndex.fromEvents(world.events as ReadonlyArray<Event>),
        stateOf(world)
      ).findings.filter(({ anomaly }) => anomaly === "H2")
    }
    assert.isNotEmpty(findings("resolve"))
    assert.isEmpty(findings(null))
  })
})
