/**
 * The rows of what a transaction writes: registrations, records and offsets.
 *
 * @since 0.1.0
 */
import type { Row } from "./Case.ts"
import * as Codes from "./Codes.ts"
import { aborted, fatal, fenced, ok, runAgain } from "./Expectation.ts"
import type { Section } from "./Line.ts"

const place = {
  isOfTransaction: true,
  isFresh: false,
  earlier: { kafkajs: 0, platformatic: 0 },
  work: "records",
  listener: "plaintext"
} as const satisfies Partial<Row>

const all = [
  "dropRequest",
  "dropResponse",
  "resetBefore",
  "resetAfter",
  "delay",
  "hold",
  "mute"
] as const

const never = {
  codes: [...Codes.handShake],
  why: "hand-shakes are over when it is sent"
} as const

const byTheWritten = "at version 2 of the protocol records and offsets register by themselves"

const addPartitions: Section = {
  row: {
    ...place,
    name: "AddPartitionsToTxn",
    api: "AddPartitionsToTxn",
    request: "AddPartitionsToTxn"
  },
  never,
  notSent: { platformatic: byTheWritten },
  lines: [
    {
      actions: all,
      on: ["first", "second"],
      expected: { kafkajs: ok },
      why: "a registration can be repeated, and a late one meets a newer epoch"
    },
    {
      actions: ["dropRequest", "dropResponse"],
      on: ["always"],
      expected: { kafkajs: runAgain("TimedOut") }
    },
    {
      codes: [
        ...Codes.coordinator,
        ...Codes.transient,
        "CONCURRENT_TRANSACTIONS",
        "UNKNOWN_TOPIC_OR_PARTITION"
      ],
      on: ["first", "second"],
      expected: { kafkajs: ok }
    },
    {
      codes: ["CONCURRENT_TRANSACTIONS"],
      on: ["always"],
      expected: { kafkajs: runAgain("TimedOut") }
    },
    {
      codes: ["UNKNOWN_TOPIC_OR_PARTITION"],
      on: ["always"],
      expected: { kafkajs: fatal("UnknownTopic") }
    },
    {
      codes: [...Codes.states, "OPERATION_NOT_ATTEMPTED"],
      on: ["first", "second"],
      expected: { kafkajs: runAgain("TransactionAbortable") }
    },
    {
      codes: Codes.fences,
      on: ["first", "second"],
      expected: { kafkajs: fenced },
      why: "the transaction's own time-out has not passed, so another instance took the id over"
    },
    { codes: Codes.rights, on: ["first"], expected: { kafkajs: fatal("NotAuthorized") } },
    { codes: Codes.versions, on: ["first"], expected: { kafkajs: fatal("UnsupportedByBroker") } },
    {
      codes: ["INVALID_TOPIC_EXCEPTION"],
      on: ["first"],
      expected: { kafkajs: fatal("Misconfigured") }
    },
    { codes: [Codes.unheardOf], on: ["first"], expected: { kafkajs: aborted("BrokerRefused") } }
  ]
}

const produce: Section = {
  row: { ...place, name: "Produce", api: "Produce", request: "Produce" },
  never,
  lines: [
    {
      actions: all,
      on: ["first", "second", "twice"],
      expected: { kafkajs: ok },
      why: "the same batch with the same sequence; a late one meets a newer epoch"
    },
    {
      actions: ["dropRequest", "dropResponse"],
      on: ["always"],
      expected: { kafkajs: runAgain("TimedOut") }
    },
    {
      codes: [
        ...Codes.leader,
        ...Codes.replicas,
        ...Codes.transient,
        "UNKNOWN_TOPIC_OR_PARTITION",
        "CORRUPT_MESSAGE",
        "CONCURRENT_TRANSACTIONS"
      ],
      on: ["first", "second"],
      expected: { kafkajs: ok }
    },
    {
      codes: ["NOT_LEADER_OR_FOLLOWER", "NOT_ENOUGH_REPLICAS"],
      on: ["always"],
      expected: { kafkajs: runAgain("TimedOut") }
    },
    {
      codes: ["CORRUPT_MESSAGE"],
      on: ["always"],
      expected: { kafkajs: aborted("RecordRejected") }
    },
    {
      codes: ["UNKNOWN_TOPIC_OR_PARTITION"],
      on: ["always"],
      expected: { kafkajs: fatal("UnknownTopic") }
    },
    {
      codes: [...Codes.states, "OUT_OF_ORDER_SEQUENCE_NUMBER"],
      on: ["first", "second"],
      expected: { kafkajs: runAgain("TransactionAbortable") }
    },
    {
      acted: ["DUPLICATE_SEQUENCE_NUMBER"],
      on: ["first", "second"],
      expected: { kafkajs: ok },
      why: "the broker has it already"
    },
    {
      codes: ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD", "POLICY_VIOLATION"],
      on: ["first", "second"],
      expected: { kafkajs: aborted("RecordRejected") }
    },
    { codes: Codes.fences, on: ["first", "second"], expected: { kafkajs: fenced } },
    { codes: Codes.rights, on: ["first"], expected: { kafkajs: fatal("NotAuthorized") } },
    { codes: Codes.versions, on: ["first"], expected: { kafkajs: fatal("UnsupportedByBroker") } },
    {
      codes: ["INVALID_TOPIC_EXCEPTION"],
      on: ["first"],
      expected: { kafkajs: fatal("Misconfigured") }
    },
    {
      codes: ["INVALID_REQUIRED_ACKS", Codes.unheardOf],
      on: ["first"],
      expected: { kafkajs: aborted("BrokerRefused") }
    }
  ]
}

const byTheCommit =
  "offsets are sent by the commit, when the body has succeeded: the taint tells the first failure"

const addOffsets: Section = {
  row: {
    ...place,
    name: "AddOffsetsToTxn",
    api: "AddOffsetsToTxn",
    request: "AddOffsetsToTxn",
    work: "offsets"
  },
  never,
  notSent: { platformatic: byTheWritten },
  lines: [
    { actions: all, on: ["first", "second"], expected: { kafkajs: ok } },
    {
      actions: ["dropRequest", "dropResponse"],
      on: ["always"],
      expected: { kafkajs: runAgain("TransactionTainted") },
      why: byTheCommit
    },
    {
      codes: [...Codes.coordinator, ...Codes.transient, "CONCURRENT_TRANSACTIONS"],
      on: ["first", "second"],
      expected: { kafkajs: ok }
    },
    {
      codes: Codes.states,
      on: ["first", "second"],
      expected: { kafkajs: runAgain("TransactionTainted") },
      why: byTheCommit
    },
    { codes: Codes.fences, on: ["first", "second"], expected: { kafkajs: fenced } },
    {
      codes: [...Codes.rights, ...Codes.versions, ...Codes.members, Codes.unheardOf],
      on: ["first"],
      expected: { kafkajs: aborted("TransactionTainted") },
      why: byTheCommit
    }
  ]
}

const txnOffsetCommit: Section = {
  row: {
    ...place,
    name: "TxnOffsetCommit",
    api: "TxnOffsetCommit",
    request: "TxnOffsetCommit",
    work: "offsets"
  },
  never,
  lines: [
    { actions: all, on: ["first", "second"], expected: { kafkajs: ok } },
    {
      actions: ["dropRequest", "dropResponse"],
      on: ["always"],
      expected: { kafkajs: runAgain("TransactionTainted") },
      why: byTheCommit
    },
    {
      codes: [
        ...Codes.coordinator,
        ...Codes.transient,
        "CONCURRENT_TRANSACTIONS",
        "UNKNOWN_TOPIC_OR_PARTITION"
      ],
      on: ["first", "second"],
      expected: { kafkajs: ok }
    },
    {
      codes: ["NOT_COORDINATOR"],
      on: ["always"],
      expected: { kafkajs: runAgain("TransactionTainted") },
      why: byTheCommit
    },
    {
      codes: Codes.states,
      on: ["first", "second"],
      expected: { kafkajs: runAgain("TransactionTainted") },
      why: byTheCommit
    },
    { codes: Codes.fences, on: ["first", "second"], expected: { kafkajs: fenced } },
    {
      codes: [
        ...Codes.members,
        ...Codes.rights,
        ...Codes.versions,
        "OFFSET_METADATA_TOO_LARGE",
        Codes.unheardOf
      ],
      on: ["first"],
      expected: { kafkajs: aborted("TransactionTainted") },
      why: byTheCommit
    }
  ]
}

/**
 * The rows of what a transaction writes.
 *
 * @category models
 * @since 0.1.0
 */
export const sections: ReadonlyArray<Section> = [
  addPartitions,
  produce,
  addOffsets,
  txnOffsetCommit
]
