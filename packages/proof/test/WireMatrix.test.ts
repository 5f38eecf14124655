/** The table itself; its cases run with each driver's tests. */
import { assert, describe, it } from "@effect/vitest"
import * as ConsumerMatrix from "../src/ConsumerMatrix.ts"
import * as ConsumerRow from "../src/consumerMatrix/Row.ts"
import * as WireMatrix from "../src/WireMatrix.ts"
import * as Case from "../src/wireMatrix/Case.ts"
import type { Section } from "../src/wireMatrix/Line.ts"
import * as Sections from "../src/wireMatrix/Sections.ts"

const consumers = ConsumerRow.rows.map(({ api }) => api)

const gaps = (sections: ReadonlyArray<Section>) => Sections.gaps(sections, ConsumerRow.rows)

describe("the wire matrix", () => {
  it("has a case for every request, action and code, or says why there is none", () => {
    assert.deepStrictEqual(Sections.gaps(Sections.all, ConsumerRow.rows), [])
  })

  it.each(Sections.all.map((section) => [section.row.name, section] as const))(
    "misses what is taken out of its row %s",
    (_, section) => {
      const others = Sections.all.filter((other) => other !== section)
      const empty = gaps([...others, { ...section, lines: [] }])
      assert.isAtLeast(empty.length, 6)
      // A row of its own is wanted for each request; some requests have two.
      const isOnly = [...others.map(({ row }) => row.request), ...consumers].every((request) =>
        request !== section.row.request
      )
      assert.strictEqual(gaps(others).length > 0, isOnly)
    }
  )

  it("finds a code that is a case and said to be given by no broker", () => {
    const [section] = Sections.all
    assert(section !== undefined)
    const codes = [...section.never.codes, "UNSUPPORTED_VERSION" as const]
    const contradiction = { ...section, never: { ...section.never, codes } }
    assert.deepStrictEqual(gaps([contradiction, ...Sections.all.slice(1)]), [
      "ApiVersions: UNSUPPORTED_VERSION is excused and a case"
    ])
  })

  it("expects something of a driver in every case, and names each case once", () => {
    for (const one of WireMatrix.cases) {
      const { expected } = one
      const isSome = Case.drivers.some((driver) => expected[driver] !== null)
      assert.isTrue(isSome, Case.nameOf(one))
    }
    for (const driver of Case.drivers) assert.isAbove(WireMatrix.casesOver(driver).length, 400)
    const names = WireMatrix.cases.map(Case.nameOf)
    assert.strictEqual(new Set(names).size, names.length)
  })

  it("meets what a transaction writes at its first and at its second time", () => {
    for (
      const api of ["AddPartitionsToTxn", "Produce", "AddOffsetsToTxn", "TxnOffsetCommit"]
    ) {
      for (const action of Case.mechanical) {
        const on = WireMatrix.cases.filter((one) => one.row.api === api && one.action === action)
          .map(({ occurrence }) => occurrence)
        assert.includeMembers(on, ["first", "second"], `${api} ${action}`)
      }
    }
  })

  it("gives the same sample for the same seed, and others for others", () => {
    const names = (seed: number) =>
      WireMatrix.sample(WireMatrix.casesOver("kafkajs"), seed, 20).map(Case.nameOf)
    assert.strictEqual(new Set(names(1)).size, 20)
    assert.deepStrictEqual(names(1), names(1))
    assert.notDeepEqual(names(1), names(2))
    // A hundred days meet nearly every case.
    const met = new Set(Array.from({ length: 100 }, (_, seed) => names(seed)).flat())
    assert.isAbove(met.size, WireMatrix.casesOver("kafkajs").length * 0.9)
  })
})

describe("the wire matrix of consumers", () => {
  it.each(ConsumerRow.rows.map((row) => [row.api, row] as const))(
    "is wanted for %s",
    (_, row) => {
      const others = ConsumerRow.rows.filter((other) => other !== row)
      const isElsewhere = Sections.all.some((section) => section.row.request === row.api)
      const found = Sections.gaps(Sections.all, others)
      assert.deepStrictEqual(found, isElsewhere ? [] : [`${row.api} has no row`])
    }
  )

  it("names each case once, and has more of them over platformatic", () => {
    const names = ConsumerMatrix.casesOver("platformatic").map(ConsumerRow.nameOf)
    assert.strictEqual(new Set(names).size, names.length)
    assert.isAbove(names.length, 350)
    assert.isAbove(ConsumerMatrix.casesOver("kafkajs").length, 300)
  })

  it.each([
    ["JoinGroup: dropResponse, twice", "goes on"],
    ["JoinGroup: GROUP_AUTHORIZATION_FAILED", "NotAuthorized"],
    ["JoinGroup: FENCED_INSTANCE_ID", "ConsumerFenced"],
    ["SyncGroup: REBALANCE_IN_PROGRESS", "goes on"],
    ["Heartbeat: UNKNOWN_MEMBER_ID", "goes on"],
    ["Fetch: TOPIC_AUTHORIZATION_FAILED", "NotAuthorized"],
    ["Fetch: 9999", "goes on"],
    ["OffsetCommit: COORDINATOR_NOT_AVAILABLE", "goes on"],
    ["OffsetCommit: UNKNOWN_MEMBER_ID", "ConsumerFenced"],
    ["OffsetCommit: 9999", "BrokerRefused"],
    ["LeaveGroup: GROUP_AUTHORIZATION_FAILED", "goes on"],
    ["ConsumerGroupHeartbeat: UNSUPPORTED_VERSION", "UnsupportedByBroker"]
  ])("expects of %s that it %s", (name, wanted) => {
    const one = ConsumerMatrix.casesOver("platformatic")
      .find((found) => ConsumerRow.nameOf(found) === name)
    assert(one !== undefined)
    const expected = ConsumerRow.expectationOf(one)
    assert.strictEqual(expected === "goes on" ? expected : expected.ends, wanted)
  })
})
