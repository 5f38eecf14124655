/**
 * The whole table, and what is missing in it.
 *
 * @since 0.1.0
 */
import * as ErrorCode from "@kafka-once/core/ErrorCode"
import type { Request } from "@kafka-once/core/KafkaDriver"
import type * as ConsumerRow from "../consumerMatrix/Row.ts"
import * as Asking from "./Asking.ts"
import { mechanical, type Row } from "./Case.ts"
import * as Codes from "./Codes.ts"
import * as Connecting from "./Connecting.ts"
import * as Ending from "./Ending.ts"
import { doings, type Section } from "./Line.ts"
import * as Writing from "./Writing.ts"

/**
 * The table, row by row.
 *
 * @category models
 * @since 0.1.0
 */
export const all: ReadonlyArray<Section> = [
  ...Connecting.sections,
  ...Asking.sections,
  ...Writing.sections,
  ...Ending.sections
]

/**
 * Requests of the error table that operators send, by hand: no program waits for them.
 *
 * @category models
 * @since 0.1.0
 */
export const ofOperators: ReadonlyArray<Request> = [
  "ListTransactions",
  "DescribeProducers",
  "DescribeConfigs",
  "WriteTxnMarkers"
]

/**
 * The requests that the table has a row for, by their names on the wire.
 *
 * @category models
 * @since 0.1.0
 */
export const apis: ReadonlySet<string> = new Set(all.map(({ row }) => row.api))

/**
 * What a table lacks: a request of the error table without a row, an action without a case, a code
 * of the error table that is neither a case nor one that no broker gives. Empty where nothing is
 * missing.
 *
 * @category operations
 * @since 0.1.0
 */
export const gaps = (
  sections: ReadonlyArray<Section>,
  ofConsumers: ReadonlyArray<ConsumerRow.Row>
): ReadonlyArray<string> => {
  const requests = new Set(ErrorCode.table.flatMap(({ verdicts }) => Object.keys(verdicts)))
  const covered = new Set<string>([
    ...sections.map(({ row }) => row.request),
    ...ofConsumers.map(({ api }) => api),
    ...ofOperators
  ])
  return [
    ...[...requests].filter((request) => !covered.has(request)).map((request) =>
      `${request} has no row`
    ),
    ...sections.flatMap(gapsOf)
  ]
}

const gapsOf = ({ lines, never, row, without }: Section): ReadonlyArray<string> => {
  const done = lines.flatMap((line) => doings(line).map((doing) => ({ ...doing, on: line.on })))
  const actions = new Set<string>(done.map(({ action }) => action))
  const codes = new Set<string | number>(done.flatMap(({ code }) => code === null ? [] : [code]))
  const excused = new Set<string>(without?.actions)
  const neverGiven = new Set<string>(never.codes)
  return [
    ...mechanical.filter((action) => actions.has(action) === excused.has(action)).map((action) =>
      `${row.name}: ${action} is ${excused.has(action) ? "excused and a case" : "no case"}`
    ),
    ...namesOf(row).filter((name) => codes.has(name) === neverGiven.has(name)).map((name) =>
      `${row.name}: ${name} is ${neverGiven.has(name) ? "excused and a case" : "no case"}`
    ),
    // Where a code means that evidence cannot be read, one that nobody knows means the same.
    ...(codes.has(Codes.unheardOf) || row.listener === "sasl" || row.name === afterLostCommit
      ? []
      : [`${row.name}: a code that nobody knows is no case`])
  ]
}

const afterLostCommit = "InitProducerId after a lost commit"

/** The codes to which the library gives a meaning for the request. */
const namesOf = ({ request }: Row): ReadonlyArray<string> =>
  ErrorCode.table.filter(({ verdicts }) => verdicts[request] !== undefined).map(({ name }) => name)
