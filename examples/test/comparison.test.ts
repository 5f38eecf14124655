import { assert, describe, it } from "@effect/vitest"
import type { CommittedRecord } from "@kafka-once/testing/CommittedRecords"
import { compare, isRight, type Read } from "../quickstart/comparison.ts"
import type { Tally } from "../quickstart/crew.ts"
import { compute } from "../quickstart/flights.ts"
import { batchHeader } from "../quickstart/pipeline.ts"

const encoder = new TextEncoder()

const record = (key: string, value: string, batch: string): CommittedRecord => ({
  partition: 0,
  offset: 0n,
  timestamp: 0n,
  key: encoder.encode(key),
  value: encoder.encode(value),
  headers: [[batchHeader, encoder.encode(batch)]]
})

const line = (delay: unknown) => ({
  key: "SFO",
  value: JSON.stringify({
    date: "2001/01/01 06:05",
    delay,
    distance: 10,
    origin: "SFO",
    destination: "LAX"
  })
})

const lines = [line(-1), line(14), line(15), line(120), line("late")]
const expected = compute(lines)

const delta = (flights: number, delayMinutes: number) => JSON.stringify({ flights, delayMinutes })

const right: Read = {
  flights: expected.enriched.map((value, index) => record("SFO", value, index < 3 ? "1" : "2")),
  delays: [record("SFO", delta(3, 28), "1"), record("SFO", delta(1, 120), "2")],
  dead: [record("SFO", lines[4]!.value, "")]
}

const tally: Tally = {
  outcomes: new Map([["1", "Committed"], ["0", "Aborted"]]),
  killed: "00",
  cutMillis: 1,
  millis: 1
}

const found = (read: Partial<Read>, told: Partial<Tally> = {}) =>
  compare(expected, { ...tally, ...told }, { ...right, ...read })

describe("the comparison", () => {
  it("finds nothing where everything is right", () => {
    const comparison = found({})
    assert.isTrue(isRight(comparison))
    const { aborted, airports, committed, deadLetters, records } = comparison
    assert.deepStrictEqual(
      { aborted, airports, committed, deadLetters, records },
      { aborted: 2, airports: 1, committed: 2, deadLetters: 1, records: 4 }
    )
  })

  it.each(
    [
      { what: "a flight that is lost", read: { flights: right.flights.slice(1) }, as: "lost" },
      { what: "a dead letter that is lost", read: { dead: [] }, as: "lost" },
      {
        what: "a flight that is there twice",
        read: { flights: [...right.flights, right.flights[0]!] },
        as: "doubled"
      },
      {
        what: "a dead letter that is there twice",
        read: { dead: [...right.dead, right.dead[0]!] },
        as: "doubled"
      },
      { what: "a batch without its delays", read: { delays: right.delays.slice(1) }, as: "torn" },
      {
        what: "a sum that is another",
        read: { delays: [record("SFO", delta(3, 27), "1"), right.delays[1]!] },
        as: "airportsUnequal"
      }
    ] as const
  )("finds $what", ({ as, read }) => {
    const comparison = found(read)
    assert.isAbove(comparison[as], 0)
    assert.isFalse(isRight(comparison))
  })

  it.each([
    { what: "told as aborted", told: { outcomes: new Map([["1", "Aborted"]]) } },
    { what: "told as committed", told: { outcomes: new Map([["3", "Committed"]]) } },
    { what: "killed in the middle", told: { killed: "2" } }
  ] as ReadonlyArray<{ readonly what: string; readonly told: Partial<Tally> }>)(
    "finds a batch $what that the log tells otherwise of",
    ({ told }) => {
      const comparison = found({}, told)
      assert.strictEqual(comparison.mistold, 1)
      assert.isFalse(isRight(comparison))
    }
  )
})
