/**
 * The rows of the wire matrix for the requests of consumers: what can happen to each on the wire,
 * and what that means for a program in a group. Each cell is run on a real broker.
 *
 * @since 0.1.0
 */
import { assert, layer, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Play from "./consumerMatrix/Play.ts"
import * as Row from "./consumerMatrix/Row.ts"
import type { DriverName } from "./wireMatrix/Case.ts"
import * as Lanes from "./wireMatrix/Lanes.ts"
import type { DriverThrough } from "./wireMatrix/Stage.ts"

/**
 * Every case that can happen over a driver.
 *
 * @category accessors
 * @since 0.1.0
 */
export const casesOver = (driver: DriverName): ReadonlyArray<Row.Case> =>
  Row.rows.filter((row) => Row.isSentBy(row, driver)).flatMap(Row.casesOf)

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
  through: DriverThrough,
  chosen: ReadonlyArray<Row.Case>
): void => {
  vi.setConfig({ maxConcurrency: Lanes.width })
  layer(Lanes.layer, { timeout: "3 minutes", excludeTestServices: true, concurrent: true })(
    title,
    (it) => {
      for (const one of chosen) {
        it.effect(
          Row.nameOf(one),
          () =>
            Effect.map(Play.run(one, through), ({ problems, wire }) => {
              assert.isEmpty(problems, [...problems, ...wire, ""].join("\n  "))
            }),
          again
        )
      }
    }
  )
}
