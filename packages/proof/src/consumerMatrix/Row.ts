/**
 * The rows of the wire matrix for the requests of consumers, as data: which request, what happens
 * to it, and what that means for the program.
 *
 * What a code means is not said case by case. A session in a group is cheap to replace and decides
 * nothing, so that a program goes on after every failure that the error table does not call one of
 * its configuration, or of the cluster's.
 *
 * @since 0.1.0
 */
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as ErrorCode from "@kafka-once/core/ErrorCode"
import type { Request } from "@kafka-once/core/KafkaDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import { type DriverName, mechanical, type Passing, passingRule } from "../wireMatrix/Case.ts"
import { unheardOf } from "../wireMatrix/Codes.ts"

/**
 * A request, in the program that sends it.
 *
 * **Details**
 *
 * *Shape*
 * - `program`: a pipeline, or a plain consumer that commits what it has been given.
 * - `groupProtocol`: the protocol of its group.
 * - `at`: when the fault is there: from the start of the program on; when it is idle, so that no
 *   transaction asks for the request; or at its end, where nobody hears of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly api: FaultProxyRule.ApiName & Request
  readonly program: "pipeline" | "consumer"
  readonly groupProtocol: GroupProtocolName
  readonly at: "start" | "idle" | "end"
}

/**
 * Each request of a consumer. FindCoordinator and Metadata have rows among those of producers.
 *
 * @category models
 * @since 0.1.0
 */
export const rows: ReadonlyArray<Row> = [
  ...(["JoinGroup", "SyncGroup", "OffsetFetch", "ListOffsets", "Fetch"] as const)
    .map((api): Row => ({ api, program: "pipeline", groupProtocol: "classic", at: "start" })),
  { api: "Heartbeat", program: "pipeline", groupProtocol: "classic", at: "idle" },
  { api: "LeaveGroup", program: "pipeline", groupProtocol: "classic", at: "end" },
  { api: "OffsetCommit", program: "consumer", groupProtocol: "classic", at: "start" },
  {
    api: "ConsumerGroupHeartbeat",
    program: "pipeline",
    groupProtocol: "consumer",
    at: "start"
  }
]

/**
 * Whether a driver sends the request: kafkajs has no consumer protocol.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isSentBy = ({ groupProtocol }: Row, driver: DriverName): boolean =>
  groupProtocol === "classic" || driver === "platformatic"

/**
 * What a fault means for the program: it goes on by itself, or it ends with a `KafkaError` of this
 * reason. In either case every record is in the output once, in the end.
 *
 * @category models
 * @since 0.1.0
 */
export type Expectation = "goes on" | { readonly ends: string }

/**
 * One fault in one request; `hits` is how many requests in a row it happens to. A request that is
 * held until the next transaction is one that is delayed: consumers have none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case {
  readonly row: Row
  readonly fault: Passing | ErrorCode.ErrorCode | typeof unheardOf
  readonly hits: 1 | 2
}

const faults = mechanical.filter((one): one is Passing => one !== "hold")

/**
 * The cases of a row: every fault once and twice in a row, every code that the error table knows
 * for the request, and one that nobody knows.
 *
 * @category accessors
 * @since 0.1.0
 */
export const casesOf = (row: Row): ReadonlyArray<Case> => [
  ...faults.flatMap((fault): ReadonlyArray<Case> => [
    { row, fault, hits: 1 },
    // A program leaves once.
    ...row.at === "end" ? [] : [{ row, fault, hits: 2 } as const]
  ]),
  ...ErrorCode.table
    .filter(({ verdicts }) => verdicts[row.api] !== undefined)
    .map((fault): Case => ({ row, fault, hits: 1 })),
  { row, fault: unheardOf, hits: 1 }
]

/**
 * The name of a case, by which it can be run alone: `JoinGroup: dropRequest, twice`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = ({ fault, hits, row: { api } }: Case): string =>
  `${api}: ${typeof fault === "object" ? fault.name : fault}${hits === 2 ? ", twice" : ""}`

/**
 * Codes that end a member although its request was right: its name is another's, its group is full,
 * or, to a member that joins, of another kind.
 */
const endsMembers: ReadonlySet<string> = new Set([
  "FENCED_INSTANCE_ID",
  "GROUP_MAX_SIZE_REACHED",
  "GROUP_ID_NOT_FOUND"
])

const asksAMember: ReadonlySet<Request> = new Set([
  "JoinGroup",
  "SyncGroup",
  "Heartbeat",
  "ConsumerGroupHeartbeat"
])

/**
 * What is expected of a case.
 *
 * @category accessors
 * @since 0.1.0
 */
export const expectationOf = ({ fault, row: { api, at } }: Case): Expectation => {
  if (typeof fault === "string" || at === "end") return "goes on"
  const code = typeof fault === "number" ? fault : fault.code
  const verdict = ErrorCode.classify(api, code)
  const ends = api === "OffsetCommit"
    // The program asked for it, and is told.
    ? verdict !== "retry" && verdict !== "refresh"
    : verdict === "reconfigure" ||
      (asksAMember.has(api) && endsMembers.has(ErrorCode.nameOf(code)))
  return ends ? { ends: ErrorCode.reasonOf(code) } : "goes on"
}

/**
 * The rule of a case, for the frames of one client.
 *
 * @category operations
 * @since 0.1.0
 */
export const ruleOf = (
  { fault, hits, row: { api } }: Case,
  clientId: string
): FaultProxyRule.FaultProxyRule => {
  const match: FaultProxyRule.Match = { api, clientId, nth: hits === 1 ? 1 : [1, 2] }
  if (typeof fault === "object") return FaultProxyRule.error(match, fault.code)
  if (typeof fault === "number") return FaultProxyRule.error(match, fault)
  return passingRule(match, fault)
}
