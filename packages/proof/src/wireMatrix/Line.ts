/**
 * One line of the table: requests, what happens to them, and what that means.
 *
 * @since 0.1.0
 */
import type { ErrorName } from "@kafka-once/testing/FaultProxyRule"
import type { Case, DriverName, Mechanical, Occurrence, Row } from "./Case.ts"
import type { Expectation } from "./Expectation.ts"

/**
 * What happens: mechanical actions, codes in place of the broker, or codes after it has acted.
 *
 * @category models
 * @since 0.1.0
 */
export type Doing =
  | { readonly actions: ReadonlyArray<Mechanical> }
  | { readonly codes: ReadonlyArray<ErrorName | number> }
  | { readonly acted: ReadonlyArray<ErrorName> }

/**
 * What is expected of kafkajs, and of another driver where that differs; `null` where it cannot
 * happen there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Expected {
  readonly kafkajs: Expectation | null
  readonly platformatic?: Expectation | null
}

/**
 * One line of the table, which stands for a case for each of its actions or codes and each of its
 * occurrences.
 *
 * @category models
 * @since 0.1.0
 */
export type Line = Doing & {
  readonly on: ReadonlyArray<Occurrence>
  readonly expected: Expected
  readonly why?: string
}

/**
 * A row of the matrix with its lines.
 *
 * **Details**
 *
 * *Shape*
 * - `without`: mechanical actions that it has no case for, and why.
 * - `notSent`: drivers that do not send the request at this place, and why.
 * - `never`: codes of the error table that no broker answers the request with, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Section {
  readonly row: Row
  readonly lines: ReadonlyArray<Line>
  readonly without?: { readonly actions: ReadonlyArray<Mechanical>; readonly why: string }
  readonly notSent?: { readonly [D in DriverName]?: string }
  readonly never: { readonly codes: ReadonlyArray<ErrorName>; readonly why: string }
}

/**
 * The cases of a section.
 *
 * @category operations
 * @since 0.1.0
 */
export const casesOf = (section: Section): ReadonlyArray<Case> =>
  section.lines.flatMap((line) =>
    line.on.flatMap((occurrence) =>
      doings(line).map(({ action, code }): Case => ({
        row: section.row,
        action,
        code,
        occurrence,
        expected: {
          kafkajs: expectedOf(section, line, "kafkajs"),
          platformatic: expectedOf(section, line, "platformatic")
        },
        why: line.why ?? null
      }))
    )
  )

/**
 * What a line expects of a driver; `null` where it cannot happen there.
 *
 * @category accessors
 * @since 0.1.0
 */
export const expectedOf = (
  { notSent }: Section,
  { expected }: Line,
  driver: DriverName
): Expectation | null => {
  if (notSent?.[driver] !== undefined) return null
  const own = expected[driver]
  return own === undefined ? expected.kafkajs : own
}

/**
 * What a line does, one by one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const doings = (doing: Doing): ReadonlyArray<Pick<Case, "action" | "code">> => {
  if ("actions" in doing) return doing.actions.map((action) => ({ action, code: null }))
  if ("codes" in doing) return doing.codes.map((code) => ({ action: "code", code }))
  return doing.acted.map((code) => ({ action: "acted with", code }))
}
