/**
 * The rows of what only a driver asks that remembers coordinators and resumes sessions: for the
 * coordinator in a new program, and who has the transactional id before a session is replaced.
 *
 * @since 0.1.0
 */
import type { Row } from "./Case.ts"
import * as Codes from "./Codes.ts"
import { heldIsHarmless, noCoordinatorAnswer } from "./Connecting.ts"
import { fatal, notBegun, ok, resolvedCommitted, unknown } from "./Expectation.ts"
import type { Section } from "./Line.ts"

const place = {
  earlier: { kafkajs: 0, platformatic: 0 },
  work: "records",
  listener: "plaintext"
} as const satisfies Partial<Row>

const lost = ["dropRequest", "dropResponse", "resetBefore", "resetAfter", "delay", "mute"] as const

const findCoordinator: Section = {
  row: {
    ...place,
    name: "FindCoordinator of a new program",
    api: "FindCoordinator",
    request: "FindCoordinator",
    isOfTransaction: true,
    isFresh: true
  },
  without: heldIsHarmless,
  notSent: { kafkajs: "its look-ups are the rows above" },
  never: noCoordinatorAnswer,
  lines: [
    { actions: lost, on: ["first", "twice"], expected: { kafkajs: null, platformatic: ok } },
    {
      actions: ["dropRequest"],
      on: ["always"],
      expected: { kafkajs: null, platformatic: notBegun("Unreachable") }
    },
    {
      codes: [...Codes.coordinator, ...Codes.transient],
      on: ["first", "twice"],
      expected: { kafkajs: null, platformatic: ok }
    },
    {
      codes: ["COORDINATOR_NOT_AVAILABLE"],
      on: ["always"],
      expected: { kafkajs: null, platformatic: notBegun("TimedOut") }
    },
    {
      codes: ["TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"],
      on: ["first"],
      expected: { kafkajs: null, platformatic: fatal("NotAuthorized") }
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: null, platformatic: fatal("UnsupportedByBroker") }
    },
    {
      codes: [Codes.unheardOf],
      on: ["first"],
      expected: { kafkajs: null, platformatic: notBegun("BrokerRefused") }
    }
  ]
}

const notAsked = "nothing is replaced before it is known whose the transactional id is"

const describeTransactions: Section = {
  row: {
    ...place,
    name: "DescribeTransactions after a lost commit",
    api: "DescribeTransactions",
    request: "DescribeTransactions",
    isOfTransaction: false,
    isFresh: false,
    before: "lost commit"
  },
  without: heldIsHarmless,
  notSent: { kafkajs: "it has no request for it, and takes the transactional id back unseen" },
  never: {
    codes: [
      ...Codes.fences,
      ...Codes.states,
      ...Codes.handShake,
      "TOPIC_AUTHORIZATION_FAILED",
      "GROUP_AUTHORIZATION_FAILED",
      "UNSUPPORTED_FOR_MESSAGE_FORMAT"
    ],
    why: "it names no producer, and changes nothing"
  },
  lines: [
    {
      actions: lost,
      on: ["first", "twice"],
      expected: { kafkajs: null, platformatic: resolvedCommitted }
    },
    {
      actions: ["dropRequest"],
      on: ["always"],
      expected: { kafkajs: null, platformatic: { kind: "unknown", next: "Unreachable" } },
      why: notAsked
    },
    {
      codes: [...Codes.coordinator, ...Codes.transient],
      on: ["first", "twice"],
      expected: { kafkajs: null, platformatic: resolvedCommitted }
    },
    {
      codes: ["TRANSACTIONAL_ID_NOT_FOUND"],
      on: ["first"],
      expected: { kafkajs: null, platformatic: resolvedCommitted },
      why: "InitProducerId names the epoch of the lost commit, which the coordinator still knows"
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: null, platformatic: resolvedCommitted },
      why: "before Kafka 3.0 nobody can be asked"
    },
    {
      codes: [
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        Codes.unheardOf
      ],
      on: ["first"],
      expected: { kafkajs: null, platformatic: unknown },
      why: notAsked
    }
  ]
}

/**
 * The rows of what only a driver asks that remembers coordinators and resumes sessions.
 *
 * @category models
 * @since 0.1.0
 */
export const sections: ReadonlyArray<Section> = [findCoordinator, describeTransactions]
