import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { DriverError } from "../KafkaDriver.ts"
import { CommitOutcomeUnknown, CommitRefused, KafkaError, type Reason } from "../KafkaError.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"
import { State } from "../TransactionState.ts"
import { reasonOf, verdictOf } from "./classify.ts"
import { aborted, commitFailure, type Ended } from "./ended.ts"
import { publishFence, reopen, retire } from "./liveSession.ts"
import * as MergedOffsets from "./mergedOffsets.ts"
import {
  hasTimedOutAtBroker,
  type OpenTransaction,
  takeOwnFence,
  tokenOf
} from "./openTransaction.ts"
import * as OutcomeResolver from "./outcomeResolver.ts"
import { fence, transition } from "./producerCore.ts"
import { type Exhausted, monotonicMillisOf } from "./repeat.ts"
import { tellLeftOpen } from "./replaceSession.ts"

/**
 * A commit without an answer: retire the session, fence it by a new one, then read what cannot
 * change any more.
 *
 * Where a repetition of the commit was answered with a fence, or the broker says so when it is
 * asked, another instance has opened that new session already, and has decided the transaction with
 * it. A session of ours would only fence it.
 */
export const resolveUnknown = (
  transaction: OpenTransaction,
  error: DriverError | Exhausted
): Effect.Effect<Ended> =>
  Effect.gen(function*() {
    const { core, clock } = transaction
    const { requestTimeout, resolveTimeout } = core.settings
    const deadline = monotonicMillisOf(clock) + Duration.toMillis(resolveTimeout)
    const left = () => Duration.millis(Math.max(1, deadline - monotonicMillisOf(clock)))
    const reason = unknownReason(transaction)
    const fencedBy = fenceIn(transaction, error)
    transition(core, "CommitUnanswered")
    yield* retire(core, "the commit had no answer")
    transition(core, "Resolved")
    const opened = fencedBy === null && (yield* reopenToResolve(transaction, left()))
    const takenOver = fencedBy ?? core.dead?.reason ?? null
    const fenced = opened || takenOver !== null
    const outcome = fenced
      ? yield* OutcomeResolver.resolve({
        driver: core.driver,
        reason,
        limit: left(),
        requestTimeout,
        fenced,
        atOnce: true
      })
      : TransactionOutcome.Unknown({ reason })
    if (fencedBy !== null) {
      fence(core, new KafkaError({ operation: "begin", reason: fencedBy }))
      yield* publishFence(core)
    }
    switch (outcome._tag) {
      case "Committed":
        return { outcome, failure: null }
      case "Aborted": {
        const { transactionalId } = core.settings
        const refused = new CommitRefused({ transactionalId, last: "the log says aborted" })
        return aborted(commitFailure(takenOver ?? refused))
      }
      case "Unknown":
        return { outcome, failure: commitFailure(reason) }
    }
  })

/**
 * The reason of a repeated commit that another instance's fence has answered, or `null`.
 */
const fenceIn = (transaction: OpenTransaction, error: DriverError | Exhausted): Reason | null => {
  const isFence = error._tag === "DriverError" && verdictOf(error) === "restart"
  if (!isFence || hasTimedOutAtBroker(transaction) || takeOwnFence(transaction)) return null
  const { producerId, epoch } = transaction.identity
  const { transactionalId } = transaction.core.settings
  return reasonOf(error, { transactionalId, producerId, epoch })
}

const reopenToResolve = (
  transaction: OpenTransaction,
  limit: Duration.Duration
): Effect.Effect<boolean> =>
  Effect.matchEffect(reopen(transaction.core, "resolve", limit), {
    onSuccess: () => Effect.succeed(true),
    onFailure: () =>
      transaction.core.dead === null
        ? Effect.as(tellLeftOpen(transaction), false)
        : Effect.succeed(false)
  })

const unknownReason = (transaction: OpenTransaction): CommitOutcomeUnknown => {
  const { core, identity, acknowledged, offsets } = transaction
  const token = tokenOf(transaction)
  return new CommitOutcomeUnknown({
    transactionalId: core.settings.transactionalId,
    producerId: identity.producerId,
    epoch: identity.epoch,
    acknowledged: [...acknowledged.values()],
    offsets: MergedOffsets.toCommits(offsets, token).flatMap(({ groupId, positions }) =>
      positions.map((position) => ({ groupId, token, ...position }))
    )
  })
}

/**
 * The end of a transaction whose settling died: its session is not used again. Where the commit was
 * not asked for yet, it never will be.
 */
export const unproven = (
  transaction: OpenTransaction,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    const { core, committing } = transaction
    const { transactionalId } = core.settings
    if (core.state._tag !== "Closed" && core.dead === null) core.state = State.Retired()
    const unknown = unknownReason(transaction)
    const refused = new CommitRefused({ transactionalId, last: "the library failed" })
    return Effect.as(
      retire(core, "settling died"),
      committing
        ? {
          outcome: TransactionOutcome.Unknown({ reason: unknown }),
          failure: commitFailure(unknown)
        }
        : aborted(Exit.isSuccess(exit) ? commitFailure(refused) : null)
    )
  })
