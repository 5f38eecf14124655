/**
 * The wire matrix: every request of a transaction, what can happen to it on the wire, and what that
 * means, for each driver. Each cell is run on a real broker.
 *
 * @since 0.1.0
 */
import { assert, layer, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Case from "./wireMatrix/Case.ts"
import * as CaseRun from "./wireMatrix/CaseRun.ts"
import * as Lanes from "./wireMatrix/Lanes.ts"
import * as Line from "./wireMatrix/Line.ts"
import * as Sections from "./wireMatrix/Sections.ts"
import type { DriverThrough } from "./wireMatrix/Stage.ts"

/**
 * Every case of the table.
 *
 * @category models
 * @since 0.1.0
 */
export const cases: ReadonlyArray<Case.Case> = Sections.all.flatMap(Line.casesOf)

/**
 * Every case that can happen over a driver.
 *
 * @category accessors
 * @since 0.1.0
 */
export const casesOver = (driver: Case.DriverName): ReadonlyArray<Case.Case> =>
  cases.filter(({ expected }) => expected[driver] !== null)

/**
 * Takes so many cases by a seed, the same for the same seed.
 *
 * @category operations
 * @since 0.1.0
 */
export const sample = <A>(
  cases: ReadonlyArray<A>,
  seed: number,
  count: number
): ReadonlyArray<A> =>
  cases
    .map((one, index) => ({ one, rank: mix(seed, index) }))
    .sort((left, right) => left.rank - right.rank)
    .slice(0, count)
    .map(({ one }) => one)

const mix = (seed: number, index: number): number => {
  let mixed = (seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

// The deadlines of a case are parts of a second, which a machine that does something else may miss.
// What the driver gets wrong it gets wrong twice.
const again = { retry: 1 }

/**
 * Runs cases over a driver, side by side, on a broker of their own: one test each. What a failing
 * one prints ends with its requests.
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = (
  title: string,
  driver: Case.DriverName,
  through: DriverThrough,
  chosen: ReadonlyArray<Case.Case>
): void => {
  vi.setConfig({ maxConcurrency: Lanes.width })
  layer(Lanes.layer, { timeout: "3 minutes", excludeTestServices: true, concurrent: true })(
    title,
    (it) => {
      for (const one of chosen) {
        it.effect(
          Case.nameOf(one),
          () =>
            Effect.map(CaseRun.run(one, driver, through), ({ problems, wire }) => {
              assert.isEmpty(problems, [...problems, ...wire, ""].join("\n  "))
            }),
          again
        )
      }
    }
  )
}
