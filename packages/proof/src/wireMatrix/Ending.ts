/**
 * The rows of how a transaction ends: the commit, the abort, and what is read after a lost commit.
 *
 * @since 0.1.0
 */
import type { Row } from "./Case.ts"
import * as Codes from "./Codes.ts"
import {
  aborted,
  type Expectation,
  fatal,
  fenced,
  ok,
  resolvedAborted,
  resolvedCommitted,
  runAgain,
  unknown
} from "./Expectation.ts"
import type { Section } from "./Line.ts"

const place = {
  isOfTransaction: true,
  isFresh: false,
  earlier: { kafkajs: 0, platformatic: 0 },
  work: "records",
  listener: "plaintext"
} as const satisfies Partial<Row>

const never = {
  codes: [...Codes.handShake],
  why: "hand-shakes are over when it is sent"
} as const

const appendFailed = [
  "UNKNOWN_SERVER_ERROR",
  "COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR",
  ...Codes.transient,
  ...Codes.replicas,
  "KAFKA_STORAGE_ERROR"
] as const

const cannotRepeat =
  "kafkajs cannot repeat it: the next session aborts what was not decided; platformatic can"

const commit: Section = {
  row: { ...place, name: "EndTxn (commit)", api: "EndTxn", request: "EndTxn", commit: true },
  never,
  lines: [
    {
      actions: ["dropRequest", "resetBefore", "delay"],
      on: ["first", "twice"],
      expected: { kafkajs: resolvedAborted, platformatic: ok },
      why: cannotRepeat
    },
    {
      actions: ["dropResponse", "resetAfter", "mute"],
      on: ["first"],
      expected: { kafkajs: resolvedCommitted, platformatic: ok },
      why: "repeated, it is known to be a repetition by its epoch, and is answered again"
    },
    {
      actions: ["hold"],
      on: ["first"],
      expected: { kafkajs: resolvedAborted, platformatic: ok },
      why: "the late one has an old epoch, and decides no other transaction (KAFKA-17754)"
    },
    {
      codes: ["COORDINATOR_LOAD_IN_PROGRESS", "CONCURRENT_TRANSACTIONS"],
      on: ["first", "twice"],
      expected: { kafkajs: runAgain("CommitRefused"), platformatic: ok },
      why: "answered before the transaction's state is touched, so certainly not done"
    },
    {
      codes: appendFailed,
      on: ["first"],
      expected: { kafkajs: resolvedAborted, platformatic: ok },
      why: "an append that failed may still be found by the next coordinator; here it is not"
    },
    {
      acted: ["COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "REQUEST_TIMED_OUT"],
      on: ["first"],
      expected: { kafkajs: resolvedCommitted, platformatic: ok },
      why: "an append that failed may still be found by the next coordinator; here it is"
    },
    {
      codes: [...Codes.states, "INVALID_REQUEST", "THROTTLING_QUOTA_EXCEEDED", Codes.unheardOf],
      on: ["first"],
      expected: { kafkajs: resolvedAborted },
      why: "a code that does not say what was decided is asked of the log"
    },
    {
      codes: Codes.fences,
      on: ["first"],
      expected: { kafkajs: fenced },
      why: "to the first attempt: whoever has the newer epoch aborted the transaction to get it"
    },
    {
      codes: Codes.rights,
      on: ["first"],
      expected: { kafkajs: fatal("NotAuthorized") },
      why: "rights are looked at before the transaction is"
    },
    { codes: Codes.versions, on: ["first"], expected: { kafkajs: fatal("UnsupportedByBroker") } }
  ]
}

const own = aborted("the body's own")

const fencedAfterwards: Expectation = {
  kind: "aborted",
  reason: "the body's own",
  next: "ProducerFenced"
}

const abort: Section = {
  row: {
    ...place,
    name: "EndTxn (abort)",
    api: "EndTxn",
    request: "EndTxn",
    commit: false,
    work: "abort"
  },
  never,
  lines: [
    {
      actions: [
        "dropRequest",
        "dropResponse",
        "resetBefore",
        "resetAfter",
        "delay",
        "hold",
        "mute"
      ],
      on: ["first"],
      expected: { kafkajs: own },
      why: "the body's error stays the result, and the next session aborts what is left"
    },
    {
      codes: [
        ...appendFailed,
        "COORDINATOR_LOAD_IN_PROGRESS",
        "CONCURRENT_TRANSACTIONS",
        ...Codes.states,
        ...Codes.rights,
        ...Codes.versions,
        "INVALID_REQUEST",
        "THROTTLING_QUOTA_EXCEEDED",
        Codes.unheardOf
      ],
      on: ["first"],
      expected: { kafkajs: own }
    },
    { codes: Codes.fences, on: ["first"], expected: { kafkajs: fencedAfterwards } }
  ]
}

const lost = ["dropRequest", "dropResponse", "resetBefore", "resetAfter", "delay", "mute"] as const

const readLate = {
  actions: ["hold"],
  why: "it changes nothing, so it can change nothing late"
} as const

const noReading = [...Codes.fences, ...Codes.states, ...Codes.handShake]

const fetch: Section = {
  row: {
    ...place,
    name: "Fetch after a lost commit",
    api: "Fetch",
    request: "Fetch",
    isOfTransaction: false,
    before: "lost commit"
  },
  without: readLate,
  never: {
    codes: [
      ...noReading,
      "GROUP_AUTHORIZATION_FAILED",
      "CLUSTER_AUTHORIZATION_FAILED",
      "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    ],
    why: "a Fetch of a consumer is about topics alone"
  },
  lines: [
    { actions: lost, on: ["first", "twice"], expected: { kafkajs: resolvedCommitted } },
    { actions: ["dropResponse"], on: ["always"], expected: { kafkajs: unknown } },
    {
      codes: [
        ...Codes.leader,
        ...Codes.replicas,
        ...Codes.transient,
        "UNKNOWN_TOPIC_OR_PARTITION",
        "TOPIC_AUTHORIZATION_FAILED",
        ...Codes.versions,
        Codes.unheardOf
      ],
      on: ["first"],
      expected: { kafkajs: resolvedCommitted },
      why: "until the deadline any answer but the records is a reason to look again"
    },
    {
      codes: ["TOPIC_AUTHORIZATION_FAILED", "NOT_LEADER_OR_FOLLOWER"],
      on: ["always"],
      expected: { kafkajs: unknown }
    },
    {
      codes: ["OFFSET_OUT_OF_RANGE"],
      on: ["always"],
      expected: { kafkajs: unknown },
      why: "the log no longer holds the evidence, and nothing is guessed"
    }
  ]
}

const offsetFetch: Section = {
  row: {
    ...place,
    name: "OffsetFetch after a lost commit",
    api: "OffsetFetch",
    request: "OffsetFetch",
    isOfTransaction: false,
    work: "offsets alone",
    before: "lost commit"
  },
  without: readLate,
  never: {
    codes: [
      ...noReading,
      "TOPIC_AUTHORIZATION_FAILED",
      "CLUSTER_AUTHORIZATION_FAILED",
      "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
      "UNSUPPORTED_FOR_MESSAGE_FORMAT"
    ],
    why: "an OffsetFetch is about one group"
  },
  lines: [
    { actions: lost, on: ["first", "twice"], expected: { kafkajs: resolvedCommitted } },
    { actions: ["dropResponse"], on: ["always"], expected: { kafkajs: unknown } },
    {
      codes: [
        ...Codes.coordinator,
        ...Codes.transient,
        "UNSTABLE_OFFSET_COMMIT",
        "GROUP_AUTHORIZATION_FAILED",
        "INVALID_GROUP_ID",
        "UNSUPPORTED_VERSION",
        Codes.unheardOf
      ],
      on: ["first"],
      expected: { kafkajs: resolvedCommitted }
    },
    {
      codes: ["UNSTABLE_OFFSET_COMMIT", "GROUP_AUTHORIZATION_FAILED"],
      on: ["always"],
      expected: { kafkajs: unknown }
    }
  ]
}

/**
 * The rows of how a transaction ends.
 *
 * @category models
 * @since 0.1.0
 */
export const sections: ReadonlyArray<Section> = [commit, abort, fetch, offsetFetch]
