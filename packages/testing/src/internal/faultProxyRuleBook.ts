/** The rules of a proxy while it runs: which one a frame meets, how often, and who waits for it. */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import type { FaultProxyRule } from "../FaultProxyRule.ts"
import type { Entry } from "../FaultProxyWireLog.ts"
import type { RequestFacts } from "./faultProxyInspect.ts"

export interface ActiveRule {
  readonly rule: FaultProxyRule
  readonly name: string
  readonly index: number
  /** Frames that fit everything but `nth` and `probability`. */
  matched: number
  /** Frames to which the action was done. */
  hits: number
  readonly fired: Deferred.Deferred<Entry>
}

export interface RequestSight {
  readonly api: string
  readonly version: number
  readonly clientId: string | null
}

export interface RuleBook {
  readonly add: (rule: FaultProxyRule, name: string) => ActiveRule
  readonly remove: (rule: ActiveRule) => void
  readonly all: () => ReadonlyArray<ActiveRule>
  /** Whether any rule could act on such a request, so that it must be read whole. */
  readonly isInteresting: (sight: RequestSight) => boolean
  /** Counts the request for every rule that it fits, and returns the first that acts on it. */
  readonly meet: (sight: RequestSight, facts: RequestFacts) => ActiveRule | undefined
  readonly fire: (rule: ActiveRule, entry: Entry) => void
}

export const make = (seed: number, topicNames: ReadonlyMap<string, string>): RuleBook => {
  let rules: ReadonlyArray<ActiveRule> = []
  let added = 0

  const names = (topic: string, topics: ReadonlyArray<string>): boolean =>
    topics.some((name) => name === topic || topicNames.get(name) === topic)

  const fits = ({ match }: FaultProxyRule, sight: RequestSight, facts: RequestFacts): boolean =>
    (match.transactionalId === undefined || match.transactionalId === facts.transactionalId) &&
    (match.commit === undefined || match.commit === facts.commit) &&
    (match.producerId === undefined || match.producerId === facts.producerId) &&
    (match.producerEpoch === undefined || match.producerEpoch === facts.producerEpoch) &&
    (match.topic === undefined || names(match.topic, facts.topics)) &&
    fitsSight(match, sight)

  return {
    add: (rule, name) => {
      const active: ActiveRule = {
        rule,
        name,
        index: added++,
        matched: 0,
        hits: 0,
        fired: Deferred.makeUnsafe<Entry>()
      }
      rules = [...rules, active]
      return active
    },
    remove: (rule) => {
      rules = rules.filter((other) => other !== rule)
    },
    all: () => rules,
    isInteresting: (sight) =>
      rules.some((active) => !isSpent(active) && fitsSight(active.rule.match, sight)),
    meet: (sight, facts) => {
      let first: ActiveRule | undefined
      for (const active of rules) {
        if (isSpent(active) || !fits(active.rule, sight, facts)) continue
        active.matched += 1
        if (first === undefined && isTurn(active, seed)) first = active
      }
      return first
    },
    fire: (active, entry) => {
      active.hits += 1
      if (active.hits === 1) Deferred.doneUnsafe(active.fired, Exit.succeed({ ...entry }))
    }
  }
}

const fitsSight = (match: FaultProxyRule["match"], sight: RequestSight): boolean =>
  (match.api === undefined || match.api === sight.api) &&
  (match.version === undefined || match.version === sight.version) &&
  (match.clientId === undefined || match.clientId === sight.clientId)

/** A rule about the nth frame costs nothing any more once that frame has passed. */
const isSpent = ({ matched, rule }: ActiveRule): boolean => {
  const { nth } = rule.match
  return nth !== undefined && matched >= (typeof nth === "number" ? nth : nth[1])
}

const isTurn = ({ index, matched, rule }: ActiveRule, seed: number): boolean => {
  const { nth, probability } = rule.match
  if (typeof nth === "number" && matched !== nth) return false
  if (nth !== undefined && typeof nth !== "number" && matched < nth[0]) return false
  return probability === undefined || draw(seed, index, matched) < probability
}

/** A number below 1 that depends on nothing but its arguments, so that a schedule replays. */
const draw = (seed: number, index: number, count: number): number => {
  let mixed = (seed ^ Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(count, 0x85ebca6b)) >>> 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b)
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
}
