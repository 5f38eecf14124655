import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ProducerEvent } from "../ProducerEvent.ts"
import { publishFence, reopen, retire } from "./liveSession.ts"
import type { OpenTransaction } from "./openTransaction.ts"
import { publish } from "./producerCore.ts"

/**
 * Replaces the session where it is not good for another transaction.
 */
export const replaceIfRetired = (transaction: OpenTransaction, why: string): Effect.Effect<void> =>
  transaction.core.state._tag === "Retired"
    ? replace(transaction, why, { leftOpen: false })
    : Effect.void

/**
 * Closes the session and opens the next one on the same id, before the release returns (I3). A dead
 * or closed producer gets no new one: it is no longer the owner of its id.
 */
export const replace = (
  transaction: OpenTransaction,
  why: string,
  options: { readonly leftOpen: boolean }
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { core } = transaction
    yield* retire(core, why)
    if (core.dead !== null) return yield* publishFence(core)
    if (core.state._tag === "Closed") return
    const opened = yield* Effect.exit(reopen(core, "begin", core.settings.resolveTimeout))
    if (Exit.isSuccess(opened) || core.dead !== null || !options.leftOpen) return
    yield* tellLeftOpen(transaction)
  })

/**
 * Tells that the broker has to end the transaction.
 */
export const tellLeftOpen = (transaction: OpenTransaction): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { core } = transaction
    const { transactionalId, transactionTimeout } = core.settings
    const now = yield* Clock.currentTimeMillis
    const untilMillis = now + Duration.toMillis(transactionTimeout)
    yield* Effect.logWarning(
      "kafka-once: no new session could be opened; the broker ends the transaction by its timeout",
      { transactionalId, untilMillis }
    )
    yield* publish(core, ProducerEvent.TransactionLeftOpen({ transactionalId, untilMillis }))
  })
