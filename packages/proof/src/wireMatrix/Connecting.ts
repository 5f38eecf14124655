/**
 * The rows of what comes before a transaction: hand-shakes, look-ups and InitProducerId.
 *
 * @since 0.1.0
 */
import type { Row } from "./Case.ts"
import * as Codes from "./Codes.ts"
import {
  aborted,
  fatal,
  notBegun,
  ok,
  resolvedCommitted,
  runAgain,
  unknown
} from "./Expectation.ts"
import type { Section } from "./Line.ts"

const place = {
  isOfTransaction: false,
  isFresh: false,
  earlier: { kafkajs: 0, platformatic: 0 },
  work: "records",
  listener: "plaintext"
} as const satisfies Partial<Row>

const lost = ["dropRequest", "dropResponse", "resetBefore", "resetAfter", "delay", "mute"] as const

/**
 * Why a question has no case of `hold`.
 *
 * @category models
 * @since 0.1.0
 */
export const heldIsHarmless = {
  actions: ["hold"],
  why: "it does nothing, so it can do nothing late"
} as const

const noHandShake = {
  codes: [
    ...Codes.transient,
    ...Codes.rights,
    ...Codes.fences,
    ...Codes.states,
    ...Codes.versions.slice(1)
  ],
  why: "nothing has been asked for yet to which they could be an answer"
} as const

const apiVersions: Section = {
  row: { ...place, name: "ApiVersions", api: "ApiVersions", request: "Connect", isFresh: true },
  without: heldIsHarmless,
  never: { ...noHandShake, codes: [...noHandShake.codes, ...Codes.handShake] },
  lines: [
    { actions: lost, on: ["first"], expected: { kafkajs: ok } },
    { actions: ["dropRequest", "resetAfter"], on: ["twice"], expected: { kafkajs: ok } },
    { actions: ["dropRequest"], on: ["always"], expected: { kafkajs: notBegun("Unreachable") } },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: ok },
      why: "an older version is asked for"
    },
    {
      codes: ["INVALID_REQUEST", Codes.unheardOf],
      on: ["first"],
      expected: { kafkajs: notBegun("BrokerRefused") }
    }
  ]
}

const saslHandshake: Section = {
  row: {
    ...place,
    name: "SaslHandshake",
    api: "SaslHandshake",
    request: "Connect",
    isFresh: true,
    listener: "sasl"
  },
  without: heldIsHarmless,
  never: { ...noHandShake, codes: [...noHandShake.codes, "SASL_AUTHENTICATION_FAILED"] },
  lines: [
    { actions: lost, on: ["first"], expected: { kafkajs: ok } },
    { actions: ["dropRequest", "resetAfter"], on: ["twice"], expected: { kafkajs: ok } },
    { actions: ["dropRequest"], on: ["always"], expected: { kafkajs: notBegun("Unreachable") } },
    {
      codes: ["UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"],
      on: ["first"],
      expected: { kafkajs: fatal("AuthenticationFailed") }
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: fatal("UnsupportedByBroker") }
    }
  ]
}

const saslAuthenticate: Section = {
  row: {
    ...place,
    name: "SaslAuthenticate",
    api: "SaslAuthenticate",
    request: "Connect",
    isFresh: true,
    listener: "sasl"
  },
  without: heldIsHarmless,
  never: { ...noHandShake, codes: [...noHandShake.codes, "UNSUPPORTED_SASL_MECHANISM"] },
  lines: [
    { actions: lost, on: ["first"], expected: { kafkajs: ok } },
    { actions: ["dropRequest", "resetAfter"], on: ["twice"], expected: { kafkajs: ok } },
    { actions: ["dropRequest"], on: ["always"], expected: { kafkajs: notBegun("Unreachable") } },
    {
      codes: ["SASL_AUTHENTICATION_FAILED"],
      on: ["first"],
      expected: { kafkajs: fatal("AuthenticationFailed") },
      why: "after one try: credentials do not become right by themselves, and tries can lock them"
    },
    {
      codes: ["ILLEGAL_SASL_STATE"],
      on: ["first"],
      expected: { kafkajs: fatal("AuthenticationFailed") }
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: fatal("UnsupportedByBroker") }
    }
  ]
}

const lookAgain = [...Codes.leader, "UNKNOWN_TOPIC_OR_PARTITION", ...Codes.transient] as const

const askedOnce = "kafkajs asks for the count and then for the leader, platformatic once for both"

const metadata: Section = {
  row: { ...place, name: "Metadata", api: "Metadata", request: "Metadata", work: "new topic" },
  without: heldIsHarmless,
  never: {
    codes: [
      ...Codes.rights.slice(1),
      ...Codes.fences,
      ...Codes.states,
      ...Codes.handShake,
      ...Codes.versions.slice(1)
    ],
    why: "the answer to a look-up of topics is about topics alone"
  },
  lines: [
    { actions: lost, on: ["first", "twice"], expected: { kafkajs: ok } },
    {
      actions: lost,
      on: ["second"],
      expected: { kafkajs: ok, platformatic: null },
      why: askedOnce
    },
    { actions: ["dropRequest"], on: ["always"], expected: { kafkajs: runAgain("TimedOut") } },
    { codes: lookAgain, on: ["first"], expected: { kafkajs: ok } },
    {
      codes: lookAgain,
      on: ["second"],
      expected: { kafkajs: ok, platformatic: null },
      why: askedOnce
    },
    {
      codes: ["LEADER_NOT_AVAILABLE"],
      on: ["always"],
      expected: { kafkajs: runAgain("TimedOut") }
    },
    {
      codes: ["UNKNOWN_TOPIC_OR_PARTITION"],
      on: ["always"],
      expected: { kafkajs: fatal("UnknownTopic") },
      why: "a topic that was just made may be unknown for a while; one that stays so must be made"
    },
    {
      codes: ["TOPIC_AUTHORIZATION_FAILED"],
      on: ["first"],
      expected: { kafkajs: fatal("NotAuthorized") }
    },
    {
      codes: ["INVALID_TOPIC_EXCEPTION"],
      on: ["first"],
      expected: { kafkajs: fatal("Misconfigured") }
    },
    {
      codes: ["TOPIC_AUTHORIZATION_FAILED", "INVALID_TOPIC_EXCEPTION"],
      on: ["second"],
      expected: { kafkajs: ok, platformatic: null },
      why: "it is the session's, which looks a second time for a partition that it does not find"
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: fatal("UnsupportedByBroker") }
    },
    { codes: [Codes.unheardOf], on: ["first"], expected: { kafkajs: aborted("BrokerRefused") } }
  ]
}

/**
 * Codes that no look-up of a coordinator is answered with.
 *
 * @category models
 * @since 0.1.0
 */
export const noCoordinatorAnswer = {
  codes: [
    "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "INVALID_GROUP_ID",
    ...Codes.fences,
    ...Codes.states,
    ...Codes.handShake,
    ...Codes.versions.slice(1)
  ],
  why: "the look-up knows neither producers nor topics"
} as const

const findCoordinator: Section = {
  row: {
    ...place,
    name: "FindCoordinator",
    api: "FindCoordinator",
    request: "FindCoordinator",
    isOfTransaction: true
  },
  without: heldIsHarmless,
  notSent: { platformatic: "it remembers coordinators until one has moved" },
  never: noCoordinatorAnswer,
  lines: [
    { actions: lost, on: ["first", "second"], expected: { kafkajs: ok } },
    { actions: ["dropRequest"], on: ["always"], expected: { kafkajs: runAgain("TimedOut") } },
    {
      codes: [...Codes.coordinator, ...Codes.transient],
      on: ["first", "second"],
      expected: { kafkajs: ok }
    },
    {
      codes: ["COORDINATOR_NOT_AVAILABLE"],
      on: ["always"],
      expected: { kafkajs: runAgain("TimedOut") }
    },
    {
      codes: ["TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"],
      on: ["first", "second"],
      expected: { kafkajs: fatal("NotAuthorized") }
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: fatal("UnsupportedByBroker") }
    },
    { codes: [Codes.unheardOf], on: ["first"], expected: { kafkajs: aborted("BrokerRefused") } }
  ]
}

const neverSent = "the look-up comes before EndTxn, so the commit was never sent"

const findCoordinatorOfCommit: Section = {
  row: {
    ...place,
    name: "FindCoordinator of the commit",
    api: "FindCoordinator",
    request: "FindCoordinator",
    isOfTransaction: true,
    // One before each registration.
    earlier: { kafkajs: 2, platformatic: 0 }
  },
  without: heldIsHarmless,
  notSent: { platformatic: "it remembers coordinators until one has moved" },
  never: noCoordinatorAnswer,
  lines: [
    {
      actions: lost,
      on: ["first"],
      expected: { kafkajs: runAgain("CommitRefused") },
      why: neverSent
    },
    {
      codes: [...Codes.coordinator, ...Codes.transient],
      on: ["first"],
      expected: { kafkajs: runAgain("CommitRefused") },
      why: neverSent
    },
    {
      codes: ["TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"],
      on: ["first"],
      expected: { kafkajs: fatal("NotAuthorized") }
    },
    {
      codes: ["UNSUPPORTED_VERSION"],
      on: ["first"],
      expected: { kafkajs: fatal("UnsupportedByBroker") }
    },
    {
      codes: [Codes.unheardOf],
      on: ["first"],
      expected: { kafkajs: runAgain("CommitRefused") },
      why: neverSent
    }
  ]
}

const initProducerId: Section = {
  row: {
    ...place,
    name: "InitProducerId",
    api: "InitProducerId",
    request: "InitProducerId",
    isOfTransaction: true,
    isFresh: true
  },
  never: {
    codes: [...Codes.handShake],
    why: "hand-shakes are over when it is sent"
  },
  lines: [
    {
      actions: ["dropRequest", "dropResponse", "resetBefore", "resetAfter", "mute"],
      on: ["first", "twice"],
      expected: { kafkajs: ok },
      why: "the next one raises the epoch again, and no other is ever used"
    },
    {
      actions: ["delay", "hold"],
      on: ["first"],
      expected: { kafkajs: runAgain("TransactionAbortable") },
      why: "the late one fences its own producer, once; that is not another instance"
    },
    { actions: ["dropRequest"], on: ["always"], expected: { kafkajs: notBegun("Unreachable") } },
    {
      codes: [...Codes.coordinator, ...Codes.transient, "CONCURRENT_TRANSACTIONS"],
      on: ["first", "twice"],
      expected: { kafkajs: ok }
    },
    {
      codes: ["CONCURRENT_TRANSACTIONS", "COORDINATOR_NOT_AVAILABLE"],
      on: ["always"],
      expected: { kafkajs: notBegun("TimedOut") }
    },
    {
      codes: ["INVALID_TRANSACTION_TIMEOUT"],
      on: ["first"],
      expected: { kafkajs: fatal("Misconfigured") }
    },
    { codes: Codes.rights, on: ["first"], expected: { kafkajs: fatal("NotAuthorized") } },
    { codes: Codes.versions, on: ["first"], expected: { kafkajs: fatal("UnsupportedByBroker") } },
    {
      codes: Codes.fences,
      on: ["first"],
      expected: { kafkajs: fatal("ProducerFenced") },
      why: "to a first contact it says that another instance opens a session in this moment"
    },
    {
      codes: Codes.states,
      on: ["first"],
      expected: { kafkajs: notBegun("TransactionAbortable") }
    },
    { codes: [Codes.unheardOf], on: ["first"], expected: { kafkajs: notBegun("BrokerRefused") } }
  ]
}

const fenceFails = "what fences the lost commit failed; nothing is read before a fence"

const initProducerIdAfterCommit: Section = {
  row: {
    ...place,
    name: "InitProducerId after a lost commit",
    api: "InitProducerId",
    request: "InitProducerId",
    isOfTransaction: true,
    before: "lost commit"
  },
  without: {
    actions: ["delay", "hold"],
    why: "the late one meets the next transaction, as in the row above"
  },
  never: {
    codes: [
      ...Codes.handShake,
      "INVALID_TRANSACTION_TIMEOUT",
      ...Codes.versions,
      ...Codes.states
    ],
    why: "the same broker has taken the same request before"
  },
  lines: [
    {
      actions: ["dropRequest", "dropResponse", "resetBefore", "resetAfter", "mute"],
      on: ["first", "twice"],
      expected: { kafkajs: resolvedCommitted }
    },
    {
      codes: [...Codes.coordinator, ...Codes.transient, "CONCURRENT_TRANSACTIONS"],
      on: ["first", "twice"],
      expected: { kafkajs: resolvedCommitted }
    },
    {
      actions: ["dropRequest"],
      on: ["always"],
      expected: { kafkajs: { kind: "unknown", next: "Unreachable" } },
      why: fenceFails
    },
    { codes: Codes.rights, on: ["first"], expected: { kafkajs: unknown }, why: fenceFails },
    {
      codes: Codes.fences,
      on: ["first"],
      expected: {
        kafkajs: unknown,
        platformatic: { kind: "resolved committed", next: "ProducerFenced" }
      },
      why:
        "platformatic names whom it replaces: refused, another instance has, and the log is final"
    }
  ]
}

/**
 * The rows of what comes before a transaction.
 *
 * @category models
 * @since 0.1.0
 */
export const sections: ReadonlyArray<Section> = [
  apiVersions,
  saslHandshake,
  saslAuthenticate,
  metadata,
  findCoordinator,
  findCoordinatorOfCommit,
  initProducerId,
  initProducerIdAfterCommit
]
