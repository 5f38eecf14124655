/**
 * Which faults a soak has, in which order: drawn from its seed alone, so that the same seed gives
 * the same plan.
 */
import type { GroupProtocolName } from "@kafka-once/core/ConsumerDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import * as Random from "../internal/random.ts"

/** A fault that lasts, and then is healed. `node` and `program` count from 0. */
export type Outage =
  | { readonly _tag: "KillNode" | "StopNode"; readonly node: number; readonly millis: number }
  | { readonly _tag: "FreezeNode"; readonly node: number; readonly millis: number }
  | { readonly _tag: "KillProgram"; readonly program: number; readonly millis: number }
  | {
    readonly _tag: "FreezeProgram" | "ReplaceFrozenProgram"
    readonly program: number
    readonly millis: number
  }
  | {
    readonly _tag: "CutNetwork"
    readonly direction: "both" | "requests" | "responses"
    readonly millis: number
  }
  | { readonly _tag: "RefuseConnections"; readonly millis: number }
  | { readonly _tag: "ResetConnections"; readonly millis: number }

/** Something after a pause. */
export interface Planned<A> {
  readonly pauseMillis: number
  readonly fault: A
}

/** How many nodes and programs there are to choose from. */
export interface Targets {
  readonly nodes: number
  readonly programs: number
}

const outageOf = (random: Random.Random, { nodes, programs }: Targets): Outage => {
  const node = random.int(0, nodes - 1)
  const program = random.int(0, programs - 1)
  switch (random.int(0, 10)) {
    case 0:
      return { _tag: "KillNode", node, millis: random.int(500, 3_000) }
    case 1:
      return { _tag: "StopNode", node, millis: random.int(500, 2_000) }
    case 2:
      return { _tag: "FreezeNode", node, millis: random.int(500, 6_000) }
    case 3:
    case 4:
      return { _tag: "KillProgram", program, millis: random.int(0, 1_000) }
    case 5:
      return { _tag: "FreezeProgram", program, millis: random.int(500, 5_000) }
    case 6:
    case 7: {
      const direction = random.pick(["both", "requests", "responses"] as const)
      return { _tag: "CutNetwork", direction, millis: random.int(300, 4_000) }
    }
    case 8:
      return { _tag: "ReplaceFrozenProgram", program, millis: random.int(500, 4_000) }
    case 9:
      return { _tag: "RefuseConnections", millis: random.int(300, 2_000) }
    default:
      return { _tag: "ResetConnections", millis: 0 }
  }
}

/** The outages of a seed, one after the other, without an end. */
export const outages = function*(seed: number, targets: Targets): Generator<Planned<Outage>> {
  const random = Random.make(seed)
  for (;;) {
    yield { pauseMillis: random.int(1_500, 5_000), fault: outageOf(random, targets) }
  }
}

const apis = [
  "Produce",
  "EndTxn",
  "AddPartitionsToTxn",
  "InitProducerId",
  "FindCoordinator",
  "Metadata",
  "Fetch"
] as const

/** In the consumer protocol one request says everything between a member and its group. */
const consumerApis = [...apis, "ConsumerGroupHeartbeat"] as const

const codes = {
  Produce: ["NOT_LEADER_OR_FOLLOWER", "NOT_ENOUGH_REPLICAS", "REQUEST_TIMED_OUT"],
  EndTxn: ["COORDINATOR_LOAD_IN_PROGRESS", "CONCURRENT_TRANSACTIONS", "NOT_COORDINATOR"],
  AddPartitionsToTxn: ["CONCURRENT_TRANSACTIONS", "COORDINATOR_NOT_AVAILABLE"],
  InitProducerId: ["CONCURRENT_TRANSACTIONS", "COORDINATOR_LOAD_IN_PROGRESS"],
  FindCoordinator: ["COORDINATOR_NOT_AVAILABLE"],
  Metadata: [],
  Fetch: ["NOT_LEADER_OR_FOLLOWER"],
  ConsumerGroupHeartbeat: [
    "COORDINATOR_LOAD_IN_PROGRESS",
    "NOT_COORDINATOR",
    "FENCED_MEMBER_EPOCH",
    "UNKNOWN_MEMBER_ID"
  ]
} as const

/** Most of the wire faults meet what moves and ends transactions. */
const apiOf = (random: Random.Random, groupProtocol: GroupProtocolName) => {
  if (random.chance(0.6)) return random.pick(apis.slice(0, 2))
  return groupProtocol === "classic" ? random.pick(apis) : random.pick(consumerApis)
}

const wireFaultOf = (
  random: Random.Random,
  groupProtocol: GroupProtocolName
): FaultProxyRule.FaultProxyRule => {
  const api = apiOf(random, groupProtocol)
  const match = { api, nth: 1 } as const
  const answers = codes[api]
  switch (random.int(0, 5)) {
    case 0:
      return FaultProxyRule.dropRequest(match)
    case 1:
      return FaultProxyRule.dropResponse(match)
    case 2:
      return FaultProxyRule.resetBefore(match)
    case 3:
      return FaultProxyRule.resetAfter(match)
    case 4:
      return FaultProxyRule.delay({ ...match, phase: "request" }, random.int(50, 4_000))
    default:
      return answers.length === 0
        ? FaultProxyRule.resetAfter(match)
        : FaultProxyRule.error(match, random.pick<(typeof answers)[number]>(answers))
  }
}

/** The wire faults of a seed, one after the other, without an end. */
export const wireFaults = function*(
  seed: number,
  groupProtocol: GroupProtocolName = "classic"
): Generator<Planned<FaultProxyRule.FaultProxyRule>> {
  const random = Random.make(seed ^ 0x5eed)
  for (;;) {
    const fault: FaultProxyRule.FaultProxyRule = {
      ...wireFaultOf(random, groupProtocol),
      optional: true
    }
    yield { pauseMillis: random.int(100, 500), fault }
  }
}

/** Which limit of recovery holds for an outage (V3). */
export const classOf = ({ _tag }: Outage): "broker" | "connection" | "process" | "zombie" => {
  switch (_tag) {
    case "KillNode":
    case "StopNode":
    case "FreezeNode":
      return "broker"
    case "KillProgram":
      return "process"
    case "FreezeProgram":
    case "ReplaceFrozenProgram":
      return "zombie"
    default:
      return "connection"
  }
}
