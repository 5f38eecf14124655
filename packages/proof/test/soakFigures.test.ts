import { assert, describe, it } from "@effect/vitest"
import type { Event, EventOf } from "../src/History.ts"
import type { Report } from "../src/HistoryChecker.ts"
import * as HistoryChecker from "../src/HistoryChecker.ts"
import * as HistoryIndex from "../src/HistoryIndex.ts"
import * as Figures from "../src/soak/figures.ts"

const at = (second: number) => ({ t: second * 1e9, process: 0 })

/** What becomes of a transaction after its begin; the times are seconds. */
interface Course {
  readonly begin: number
  readonly committed?: number
  readonly told?: ReadonlyArray<
    readonly [
      second: number,
      outcome: EventOf<"result">["outcome"],
      recovery: string | null
    ]
  >
}

const eventsOf = ({ begin, committed, told = [] }: Course, transaction: number): Array<Event> => [
  { _tag: "begin", ...at(begin), transaction, id: "id", session: 0, count: 0 },
  ...(committed === undefined ? [] : [
    { _tag: "end.ok", ...at(committed), transaction, decision: "commit" } as const
  ]),
  ...told.map(([second, outcome, recovery], asked) =>
    ({
      _tag: "result",
      ...at(second),
      transaction,
      outcome,
      resolved: asked > 0,
      error: recovery,
      recovery
    }) as const
  )
]

/** 100 records are visible, 20 of them copies. */
const report: Report = {
  clean: true,
  counts: Object.fromEntries(
    Object.keys(HistoryChecker.anomalies).map((anomaly) => [anomaly, 0])
  ) as Report["counts"],
  findings: [],
  transactions: { committed: 0, aborted: 0, unknown: 0 },
  records: { inLog: 100, visible: 100, copied: 20 }
}

const figuresOf = (courses: ReadonlyArray<Course>, others: ReadonlyArray<Event> = []) =>
  Figures.of(
    HistoryIndex.fromEvents([...courses.flatMap(eventsOf), ...others]),
    report,
    Figures.tally()
  )

const told = (begin: number, end: number): Course => ({
  begin,
  committed: end,
  told: [[end, "Committed", null]]
})

/** The program was killed between the answer to its commit and what it would have been told. */
const toldNobody: Course = { begin: 12, committed: 13 }

const end = (second: number, what: string): Event => ({
  _tag: "nemesis",
  ...at(second),
  phase: "stop",
  fault: "broker",
  what,
  target: -1
})

describe("the figures of a soak", () => {
  it("are over the time from the first begin to the last commit that was told", () => {
    const figures = figuresOf([told(1, 2), told(8, 11)])
    assert.deepInclude(figures, {
      seconds: 10,
      recordsPerSecond: 8,
      copiedPerSecond: 2,
      longestPauseMillis: 9_000
    })
  })

  it("take no time from a commit of which no program was told", () => {
    assert.deepStrictEqual(
      figuresOf([told(1, 2), told(8, 11), toldNobody]),
      figuresOf([told(1, 2), told(8, 11)])
    )
  })

  it("count no recovery by a commit of which no program was told", () => {
    const ends = [end(3, "killed"), end(6, "killed"), end(12.5, "frozen")]
    const { worstRecoveryMillis } = figuresOf([told(1, 2), told(8, 11), toldNobody], ends)
    assert.deepStrictEqual(worstRecoveryMillis, { killed: 8_000 })
  })

  it("count as unresolved who has asked and never learnt; a pipeline asks nobody", () => {
    const { unknown, unknownRate, unresolved } = figuresOf([
      told(1, 2),
      // Asked, and answered.
      { begin: 2, told: [[3, "Unknown", "resolve"], [4, "Aborted", null]] },
      // Asked, in vain.
      { begin: 4, told: [[5, "Unknown", "resolve"], [6, "Unknown", null]] },
      // A pipeline's, which reads its positions again instead.
      { begin: 6, told: [[7, "Unknown", null]] }
    ])
    assert.deepStrictEqual({ unknown, unknownRate, unresolved }, {
      unknown: 3,
      unknownRate: 0.75,
      unresolved: 1
    })
  })
})
