/**
 * One cell of the wire matrix as data: which request, what happens to it, and what that means.
 *
 * @since 0.1.0
 */
import * as ErrorCode from "@kafka-once/core/ErrorCode"
import type { Request } from "@kafka-once/core/KafkaDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type { Expectation } from "./Expectation.ts"

/**
 * A driver that the matrix has a column for.
 *
 * @category models
 * @since 0.1.0
 */
export type DriverName = typeof drivers[number]

/**
 * The drivers, each with a column.
 *
 * @category models
 * @since 0.1.0
 */
export const drivers = ["kafkajs", "platformatic"] as const

/**
 * What happens to a request.
 *
 * **Details**
 *
 * *Shape*
 * - `dropRequest`: it never reaches the broker. `dropResponse`: its answer is lost.
 * - `resetBefore`, `resetAfter`: the connection is reset before the broker has it, or before its
 *   answer is delivered.
 * - `delay`: it reaches the broker later than the client waits.
 * - `hold`: it reaches the broker when the next transaction is open.
 * - `mute`: its answer and all later ones of the connection are lost.
 * - `acted with`: the broker acts, and the answer is this code all the same.
 * - `code`: the answer is this code, and the broker has not seen the request.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = Mechanical | "acted with" | "code"

/**
 * The actions that need no code.
 *
 * @category models
 * @since 0.1.0
 */
export type Mechanical = typeof mechanical[number]

/**
 * The actions that need no code, each with its letter in the matrix.
 *
 * @category models
 * @since 0.1.0
 */
export const mechanical = [
  "dropRequest",
  "dropResponse",
  "resetBefore",
  "resetAfter",
  "delay",
  "hold",
  "mute"
] as const

/**
 * Which of the requests of the faulted transaction it happens to: the first, the second, the first
 * two, or every one of its first run.
 *
 * @category models
 * @since 0.1.0
 */
export type Occurrence = "first" | "second" | "twice" | "always"

/**
 * What the faulted transaction does, and when the fault is in force.
 *
 * **Details**
 *
 * *Shape*
 * - `records`: a record to each of two partitions, one after the other. `new topic`: the second one
 *   to a topic that its producer has not met.
 * - `offsets`: a record, and the offsets of two groups. `offsets alone`: of one group, and nothing
 *   else.
 * - `abort`: as `records`, and then the body fails.
 *
 * @category models
 * @since 0.1.0
 */
export type Work = "records" | "new topic" | "offsets" | "offsets alone" | "abort"

/**
 * A row of the matrix: one request at one place of a transaction.
 *
 * **Details**
 *
 * *Shape*
 * - `request`: as `ErrorCode` knows it.
 * - `isFresh`: the fault is in force from the making of the driver on, as in a program that takes
 *   over from one that has ended; otherwise the producer has committed a transaction before.
 * - `isOfTransaction`: whether the request names its transactional id.
 * - `earlier`: how many requests of its kind the faulted transaction sends before it.
 * - `before`: a fault that leads to the request, such as a lost commit for what reads the log.
 * - `listener`: whether the broker asks for a password.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly name: string
  readonly api: FaultProxyRule.ApiName
  readonly request: Request
  readonly commit?: boolean
  readonly isOfTransaction: boolean
  readonly isFresh: boolean
  readonly earlier: Readonly<Record<DriverName, number>>
  readonly work: Work
  readonly before?: "lost commit"
  readonly listener: "plaintext" | "sasl"
}

/**
 * A case: what is expected of each driver, `null` where it cannot happen, and why where it is not
 * plain.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case {
  readonly row: Row
  readonly action: Action
  readonly code: FaultProxyRule.ErrorName | number | null
  readonly occurrence: Occurrence
  readonly expected: Readonly<Record<DriverName, Expectation | null>>
  readonly why: string | null
}

const occurrences: Readonly<Record<Occurrence, string>> = {
  first: "",
  second: ", the second",
  twice: ", twice",
  always: ", always"
}

/**
 * The name of a case, by which it can be run alone: `Produce dropResponse, the second`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = ({ action, code, occurrence, row }: Case): string => {
  const what = action === "code" ? String(code) : code === null ? action : `${action} ${code}`
  return `${row.name}: ${what}${occurrences[occurrence]}`
}

const nthOf = (occurrence: Occurrence, earlier: number): FaultProxyRule.Match["nth"] => {
  switch (occurrence) {
    case "first":
      return earlier + 1
    case "second":
      return earlier + 2
    case "twice":
      return [earlier + 1, earlier + 2]
    case "always":
      return undefined
  }
}

/**
 * How long the names of the cases' topics are.
 *
 * @category models
 * @since 0.1.0
 */
export const topicBytes = 15

/**
 * How long a `delay` is: twice the time for which the client waits, so that it has gone on by then.
 *
 * @category models
 * @since 0.1.0
 */
export const delayMillis = 1_000

// Where the low byte of the code is in an answer. EndTxn: after size, correlation id and throttle
// time, of four bytes each. Produce: after size, correlation id, count, the topic's name and its
// length, count and partition. In the flexible versions, which platformatic speaks, the header has
// tags, and lengths and counts are of one byte.
const lowByteOfCode = {
  kafkajs: { EndTxn: 13, Produce: 4 + 4 + 4 + 2 + topicBytes + 4 + 4 + 1 },
  platformatic: { EndTxn: 14, Produce: 4 + 4 + 1 + 1 + 1 + topicBytes + 1 + 4 + 1 }
} as const

/**
 * The rule of a case, for the frames of one client.
 *
 * @category operations
 * @since 0.1.0
 */
export const ruleOf = (
  { action, code, occurrence, row }: Case,
  driver: DriverName,
  client: { readonly clientId: string; readonly transactionalId: string }
): FaultProxyRule.FaultProxyRule => {
  const nth = nthOf(occurrence, row.earlier[driver])
  const match: FaultProxyRule.Match = {
    api: row.api,
    clientId: client.clientId,
    ...(row.isOfTransaction ? { transactionalId: client.transactionalId } : {}),
    ...(row.commit === undefined ? {} : { commit: row.commit }),
    ...(nth === undefined ? {} : { nth })
  }
  // Whether it has fired is for the case to say, with the wire log beside it.
  return { ...actOn(match, action, code, driver, client.clientId), optional: true }
}

const numberOf = (code: Case["code"]): number =>
  ErrorCode.table.find(({ name }) => name === code)?.code ?? Number(code)

const actOn = (
  match: FaultProxyRule.Match,
  action: Action,
  code: Case["code"],
  driver: DriverName,
  gate: string
): FaultProxyRule.FaultProxyRule => {
  switch (action) {
    case "hold":
      return FaultProxyRule.hold(match, gate)
    case "code":
      return FaultProxyRule.error(match, code ?? -1)
    case "acted with": {
      const at = lowByteOfCode[driver][match.api === "Produce" ? "Produce" : "EndTxn"]
      return FaultProxyRule.corrupt({ ...match, phase: "response" }, at, numberOf(code))
    }
    default:
      return passingRule(match, action)
  }
}

/**
 * What happens to a frame on its way, and is over when it has.
 *
 * @category models
 * @since 0.1.0
 */
export type Passing = Exclude<Mechanical, "hold">

/**
 * The rule of an action that needs nothing but what it meets.
 *
 * @category operations
 * @since 0.1.0
 */
export const passingRule = (
  match: FaultProxyRule.Match,
  action: Passing
): FaultProxyRule.FaultProxyRule => {
  switch (action) {
    case "dropRequest":
      return FaultProxyRule.dropRequest(match)
    case "dropResponse":
      return FaultProxyRule.dropResponse(match)
    case "resetBefore":
      return FaultProxyRule.resetBefore(match)
    case "resetAfter":
      return FaultProxyRule.resetAfter(match)
    case "delay":
      return FaultProxyRule.delay(match, delayMillis)
    case "mute":
      return FaultProxyRule.mute(match)
  }
}
