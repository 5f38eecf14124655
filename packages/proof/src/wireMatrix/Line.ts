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
 * One line of the table, which stands for a case for each of its actions or codes and each of its
 * occurrences.
 *
 * @category models
 * @since 0.1.0
 */
export type Line = Doing & {
  readonly on: ReadonlyArray<Occurrence>
  readonly expected: Readonly<Record<DriverName, Expectation>>
  readonly why?: string
}

/**
 * A row of the matrix with its lines.
 *
 * **Details**
 *
 * *Shape*
 * - `without`: mechanical actions that it has no case for, and why.
 * - `never`: codes of the error table that no broker answers the request with, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Section {
  readonly row: Row
  readonly lines: ReadonlyArray<Line>
  readonly without?: { readonly actions: ReadonlyArray<Mechanical>; readonly why: string }
  readonly never: { readonly codes: ReadonlyArray<ErrorName>; readonly why: string }
}

/**
 * The cases of a section.
 *
 * @category operations
 * @since 0.1.0
 */
export const casesOf = ({ lines, row }: Section): ReadonlyArray<Case> =>
  lines.flatMap((line) =>
    line.on.flatMap((occurrence) =>
      doings(line).map(({ action, code }): Case => ({
        row,
        action,
        code,
        occurrence,
        expected: line.expected,
        why: line.why ?? null
      }))
    )
  )

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
