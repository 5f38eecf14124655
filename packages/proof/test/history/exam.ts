/**
 * The checker's exam: it must find nothing in valid worlds, and in each broken one the anomaly that
 * it was broken for. `HISTORY_SEED=n` replays one seed.
 */
import { assert, describe, it } from "vitest"
import type { Event } from "../../src/History.ts"
import * as HistoryChecker from "../../src/HistoryChecker.ts"
import * as HistoryIndex from "../../src/HistoryIndex.ts"
import { occurs } from "./allowedCases.ts"
import { logMutations } from "./logMutations.ts"
import type { Mutation } from "./mutation.ts"
import { readMutations } from "./readMutations.ts"
import { toldMutations } from "./toldMutations.ts"
import { pipeline, validWorld } from "./validWorld.ts"
import { stateOf, type World } from "./world.ts"

const replayed = process.env["HISTORY_SEED"]
const seedsUpTo = (count: number): ReadonlyArray<number> =>
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

/** Every way to break a world. */
export const mutations: ReadonlyArray<Mutation> = [
  ...logMutations,
  ...toldMutations,
  ...readMutations
]

/** A broken world is shorter, for there are so many of them. */
const turnsOfBroken = 15

const assertClean = (world: World): HistoryChecker.Report => {
  const report = check(world)
  assert.isTrue(report.clean, `HISTORY_SEED=${world.seed}: ${HistoryChecker.render(report)}`)
  return report
}

const assertFound = ({ anomaly, break: breakIt }: Mutation, worlds: number): void => {
  let broken = 0
  for (const seed of seedsUpTo(20 * worlds)) {
    const world = validWorld(seed, turnsOfBroken)
    const before = contentOf(world)
    if (!breakIt(world)) continue
    broken += 1
    assert.notStrictEqual(contentOf(world), before, `HISTORY_SEED=${seed} changed nothing`)
    const report = check(world)
    const text = () => `HISTORY_SEED=${seed}: ${HistoryChecker.render(report)}`
    if (report.counts[anomaly] === 0) assert.fail(text())
    if (broken === worlds) return
  }
  assert.isAtLeast(broken, replayed === undefined ? worlds : 1, "too few worlds have what it needs")
}

/** The exam over so many valid worlds, and so many broken ones for each mutation. */
export const exam = (worlds: { readonly valid: number; readonly broken: number }): void => {
  describe("the history checker", () => {
    it("finds nothing in valid worlds", () => {
      for (const seed of seedsUpTo(worlds.valid)) {
        const { transactions } = assertClean(validWorld(seed))
        assert.isAbove(transactions.committed, 10)
        assert.isAbove(transactions.aborted, 10)
      }
    })

    it.each(HistoryChecker.allowed)("finds nothing in what is allowed: $what", ({ what }) => {
      const isThere = Object.entries(occurs).find(([words]) => what.startsWith(words))?.[1]
      const seed = seedsUpTo(100).find((seed) => isThere?.(validWorld(seed)) === true)
      assert.isDefined(seed, "no valid world has it")
      assertClean(validWorld(seed))
    })

    it.each(mutations)("finds $anomaly where $name", (mutation) => {
      assertFound(mutation, worlds.broken)
    })
  })
}
