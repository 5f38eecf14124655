/**
 * The checker's exam: it must find nothing in valid worlds, and in each broken one the anomaly that
 * it was broken for. `HISTORY_SEED=n` replays one seed.
 */
import { assert, describe, it } from "vitest"
import type { Event } from "../src/History.ts"
import * as HistoryChecker from "../src/HistoryChecker.ts"
import * as HistoryIndex from "../src/HistoryIndex.ts"
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

describe("the history checker", () => {
  it("finds nothing in valid worlds", () => {
    for (const seed of seeds(300)) {
      const report = check(validWorld(seed))
      assert.isTrue(report.clean, `HISTORY_SEED=${seed}: ${HistoryChecker.render(report)}`)
    }
  })
})
