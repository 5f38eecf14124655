/**
 * Registering partitions with the coordinator before the first record goes to them, which version 1
 * of the transaction protocol asks for.
 */
import type { DriverError, PartitionBatch } from "@kafka-once/core/KafkaDriver"
import * as TopicPartition from "@kafka-once/core/TopicPartition"
import * as Effect from "effect/Effect"
import { answered } from "./failure.ts"
import * as Requests from "./requests.ts"
import {
  coordinate,
  noteRegistration,
  type OpenTransaction,
  type SessionState
} from "./sessionState.ts"

/** Says only that another partition of the request was refused. */
const operationNotAttempted = 55

/** Registers those partitions that are not; fails for all of them, or for none. */
export const register = (
  state: SessionState,
  transaction: OpenTransaction,
  batches: ReadonlyArray<PartitionBatch>
): Effect.Effect<void, DriverError> => {
  const missing = batches.filter((batch) =>
    !transaction.partitions.has(TopicPartition.toKey(batch))
  )
  if (transaction.protocol === 2 || missing.length === 0) return Effect.void
  const message = Requests.addPartitionsToTxn(state.actor, missing)
  return coordinate(state, "transaction", state.options.transactionalId, message, (codes) => {
    const code = firstFailure(codes.map(({ code }) => code))
    return code === 0 ? null : answered("AddPartitionsToTxn", code)
  }).pipe(
    noteRegistration(transaction),
    Effect.map(() => {
      for (const batch of missing) transaction.partitions.add(TopicPartition.toKey(batch))
    })
  )
}

const firstFailure = (codes: ReadonlyArray<number>): number =>
  codes.find((code) => code !== 0 && code !== operationNotAttempted) ??
    codes.find((code) => code !== 0) ??
    0
