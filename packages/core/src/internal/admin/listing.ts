/**
 * What all coordinators together have. Each broker knows only the transactional ids that it
 * coordinates, so that every one of them is asked.
 */
import * as Effect from "effect/Effect"
import { DriverError, Failure } from "../../KafkaDriver.ts"
import {
  isOpen,
  type ListFilter,
  type TopicState,
  type TransactionListing
} from "../../TransactionAdminDriver.ts"
import { Incomplete, type TransactionAdminError } from "../../TransactionAdminError.ts"
import { ask, type Call, failed } from "./ask.ts"
import { roundOfBrokers, toldOf, untilComplete } from "./rounds.ts"

/** The transactions of all brokers; a part of them is a failure. */
export const list = (
  call: Call,
  filter: ListFilter
): Effect.Effect<ReadonlyArray<TransactionListing>, TransactionAdminError> =>
  Effect.flatMap(
    untilComplete(
      call,
      "ListTransactions",
      roundOfBrokers(call, "ListTransactions", (brokerId) => call.driver.list(brokerId, filter))
    ),
    ({ found, missing }) => {
      // An id whose coordinator moves may be told by both.
      const byId = new Map(found.flat().map((one) => [one.transactionalId, one]))
      // The filter of brokers lets pass what is not open at all.
      const openOnly = filter.openLongerThanMillis !== undefined
      const transactions = [...byId.values()].filter(({ state }) => !openOnly || isOpen(state))
        .sort((one, other) => one.transactionalId < other.transactionalId ? -1 : 1)
      return missing.length === 0 ? Effect.succeed(transactions) : Effect.fail(
        failed(call, new Incomplete({ missing: toldOf(missing), transactions, hanging: [] }))
      )
    }
  )

const coordinatorsTopic = "__transaction_state"

/**
 * Makes sure that every partition of the coordinators' log has a leader: what one without a leader
 * holds is in nobody's list.
 */
export const requireCoordinators = (call: Call): Effect.Effect<void, TransactionAdminError> =>
  Effect.flatMap(
    askTopics(call, [coordinatorsTopic], true),
    (topics) => {
      const missing = topics.flatMap(({ leaderless, topic }) =>
        leaderless.map((partition) => ({
          what: `"${topic}" partition ${partition}`,
          problem: "it has no leader"
        }))
      )
      return missing.length === 0 ? Effect.void : Effect.fail(
        failed(call, new Incomplete({ missing, transactions: [], hanging: [] }))
      )
    }
  )

/** The topics of these names; without a name all that the principal may see. */
export const askTopics = (
  call: Call,
  names: ReadonlyArray<string> | null,
  mayLack = false
): Effect.Effect<ReadonlyArray<TopicState>, TransactionAdminError> => {
  const about = { text: names?.join(", ") ?? "all topics", topic: names?.join(", ") ?? "" }
  return ask(call, "Metadata", about, () =>
    Effect.flatMap(call.driver.topics(names), (topics) => {
      const bad = names === null
        ? undefined
        : topics.find(({ code }) => code !== 0 && !(mayLack && code === 3))
      return bad === undefined ? Effect.succeed(topics) : Effect.fail(answeredMetadata(bad))
    }))
}

const answeredMetadata = ({ code, topic }: TopicState): DriverError =>
  new DriverError({ request: "Metadata", failure: Failure.Answered({ code }), detail: topic })
