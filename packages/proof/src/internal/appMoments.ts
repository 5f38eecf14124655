/**
 * The moments of a transaction, from its producer's first request to its last answer.
 */
import type { Capabilities } from "@kafka-once/core/KafkaDriver"
import * as FaultProxyRule from "@kafka-once/testing/FaultProxyRule"
import type * as AppProgram from "../AppProgram.ts"

/** A moment of a transaction at which something happens to its program. */
export interface Moment {
  readonly step: string
  /** Where the program waits, or what the proxy keeps from the broker or from the program. */
  readonly at: AppProgram.Step | ((transactionalId: string) => FaultProxyRule.FaultProxyRule)
  /** What is kept reaches the broker before or after the next instance has taken over. */
  readonly arrives?: "before" | "after"
  /** Whether a transaction is open when the program is dead. */
  readonly isOpen: boolean
  /** What became of the transaction when the next instance has taken over. */
  readonly told: "committed" | "aborted"
  /** Where one that settles by itself ends otherwise than one that dies. */
  readonly settles?: "committed" | "aborted"
  /** The only version of the transaction protocol that has it. */
  readonly version?: 1
  readonly smoke?: true
}

/** Behind which the proxy keeps what is on its way. */
export const gate = "kept"

/** Keeps the first request of an API. */
export const held =
  (api: "AddPartitionsToTxn" | "Produce" | "EndTxn") => (transactionalId: string) =>
    FaultProxyRule.hold({ api, nth: 1, transactionalId }, gate)

const commitAnswerLost = (transactionalId: string) =>
  FaultProxyRule.dropResponse({ api: "EndTxn", nth: 1, transactionalId })

export const momentsOf = (
  { commitRetry, transactionVersion }: Capabilities
): ReadonlyArray<Moment> => [
  { step: "the producer is initialised", at: "initialised", isOpen: false, told: "aborted" },
  { step: "the transaction has begun", at: "begun", isOpen: false, told: "aborted" },
  {
    step: "the first registration is on its way",
    at: held("AddPartitionsToTxn"),
    arrives: "before",
    isOpen: true,
    told: "aborted",
    version: 1
  },
  {
    step: "the first Produce is on its way",
    at: held("Produce"),
    arrives: "before",
    isOpen: true,
    told: "aborted"
  },
  {
    step: "the first Produce is on its way, and late",
    at: held("Produce"),
    arrives: "after",
    isOpen: transactionVersion === 1,
    told: "aborted"
  },
  { step: "the first record is acknowledged", at: "first acked", isOpen: true, told: "aborted" },
  {
    step: "the last record is acknowledged",
    at: "last acked",
    isOpen: true,
    told: "aborted",
    smoke: true
  },
  {
    step: "the commit is on its way",
    at: held("EndTxn"),
    arrives: "before",
    isOpen: false,
    told: "committed"
  },
  {
    step: "the commit is on its way, and late",
    at: held("EndTxn"),
    arrives: "after",
    isOpen: true,
    told: "aborted",
    settles: commitRetry ? "committed" : "aborted",
    smoke: true
  },
  {
    step: "the commit is decided, and its answer on its way",
    at: commitAnswerLost,
    isOpen: false,
    told: "committed"
  },
  {
    step: "the commit is told, and the producer open",
    at: "committed",
    isOpen: false,
    told: "committed"
  }
]
