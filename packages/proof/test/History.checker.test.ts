/**
 * The checker's exam: it must find nothing in valid worlds, and in each broken one the anomaly that
 * it was broken for. `HISTORY_SEED=n` replays one seed.
 */
import { assert, describe, it } from "vitest"
import type { Event } from "../src/History.ts"
import * as HistoryChecker from "../src/HistoryChecker.ts"
import * as HistoryIndex from "../src/HistoryIndex.ts"
import { occurs as occursIn } from "./history/allowedCases.ts"
import { logMutations } from "./history/logMutations.ts"
import type { Mutation } from "./history/mutation.ts"
import { readMutations } from "./history/readMutations.ts"
import { toldMutations } from "./history/toldMutations.ts"
import { pipeline, validWorld } from "./history/validWorld.ts"
import { stateOf, type World } from "./history/world.ts"

const replayed = process.env["HISTORY_SEED"]
const seeds = (count: number): ReadonlyArray<number> =>
  replayed === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(replayed)]

const check = (world: World): HistoryChecker.Report =>
  HistoryChecker.check(
    HistoryIndex.fromEvents(world.events as ReadonlyArray<Event>),
    stateOf(world),
    { wire: world.wire, pipeline }
  )

/** Everything of a world that a checker is given, as text. */
const contentOf = (world: World): string =>
  JSON.stringify(
    { ...world, random: null },
    (_, value: unknown) => typeof value === "bigint" ? `${value}n` : value
  )

const mutations: ReadonlyArray<Mutation> = [...logMutations, ...toldMutations, ...readMutations]

const turns = 15
const worldsEach = 12

describe("the history checker", () => {
  it("finds nothing in valid worlds", () => {
    for (const seed of seeds(300)) {
      const report = check(validWorld(seed))
      assert.isTrue(report.clean, `HISTORY_SEED=${seed}: ${HistoryChecker.render(report)}`)
      assert.isAbove(report.transactions.committed, 10)
      assert.isAbove(report.transactions.aborted, 10)
    }
  })

  it.each(HistoryChecker.allowed)("finds nothing in what is allowed: $what", ({ what }) => {
    const occurs = Object.entries(occursIn).find(([words]) => what.startsWith(words))?.[1]
    const seed = seeds(100).find((seed) => occurs?.(validWorld(seed)) === true)
    assert.isDefined(seed, "no valid world has it")
    const report = check(validWorld(seed))
    assert.isTrue(report.clean, `HISTORY_SEED=${seed}: ${HistoryChecker.render(report)}`)
  })

  it.each(mutations)("finds $anomaly where $name", ({ anomaly, break: breakIt }) => {
    let broken = 0
    for (const seed of seeds(20 * worldsEach)) {
      const world = validWorld(seed, turns)
      const before = contentOf(world)
      if (!breakIt(world)) continue
      broken += 1
      assert.notStrictEqual(contentOf(world), before, `HISTORY_SEED=${seed} changed nothing`)
      const report = check(world)
      assert.isAbove(
        report.counts[anomaly],
        0,
        `HISTORY_SEED=${seed}: ${HistoryChecker.render(report)}`
      )
      if (broken === worldsEach) break
    }
    assert.isAtLeast(
      broken,
      replayed === undefined ? worldsEach : 1,
      "too few worlds could be broken"
    )
  })

  it.each(Object.keys(HistoryChecker.anomalies))(
    "is examined on %s in two ways or more",
    (anomaly) => {
      assert.isAtLeast(mutations.filter((mutation) => mutation.anomaly === anomaly).length, 2)
    }
  )
})
