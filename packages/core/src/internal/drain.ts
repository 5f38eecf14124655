import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import { KafkaError, TimedOut, TransactionEnded } from "../KafkaError.ts"
import * as MergedOffsets from "./mergedOffsets.ts"
import {
  note,
  noteFailure,
  type OpenTransaction,
  recordFailure,
  tellSession,
  tokenOf
} from "./openTransaction.ts"
import { transition } from "./producerCore.ts"
import { monotonicMillisOf, untilDeadline } from "./repeat.ts"
import { withOffsetsSpan } from "./telemetry.ts"

/**
 * Waits until everything that was asked for has settled, and sends the offsets; tells whether it
 * has.
 *
 * On the way to a commit the wait can be interrupted: an interruption before EndTxn is sent aborts
 * (I10). The release itself is not interruptible, so this is the one place that looks.
 */
export const drain = (
  transaction: OpenTransaction,
  wantsCommit: boolean
): Effect.Effect<boolean> => {
  const { core, clock } = transaction
  const startedAt = monotonicMillisOf(clock)
  const left = () => {
    const limit = Duration.toMillis(core.settings.drainTimeout)
    return Duration.millis(Math.max(1, limit - (monotonicMillisOf(clock) - startedAt)))
  }
  if (!wantsCommit) return discardAndWait(transaction, left)
  const quiet = Effect.exit(Effect.interruptible(awaitQuiet(transaction, left)))
  return Effect.flatMap(quiet, (waited) => {
    if (Exit.isSuccess(waited) && waited.value) return beforeCommit(transaction, left)
    if (Exit.isFailure(waited)) noteInterruption(transaction)
    // Whatever happens to it from now on, a send that has not settled by now never commits.
    else transaction.unsettled = true
    return discardAndWait(transaction, left)
  })
}

/**
 * The transaction will not commit: what has not been sent yet never is.
 */
const discardAndWait = (
  transaction: OpenTransaction,
  left: () => Duration.Duration
): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { core, queue } = transaction
    transaction.decided = true
    const { transactionalId } = core.settings
    const reason = new TransactionEnded({ transactionalId })
    queue.discard(new KafkaError({ operation: "send", reason }))
    if (yield* within(queue.awaitIdle, left())) return true
    yield* queue.stop
    return false
  })

/**
 * What is left to do before EndTxn when every send has settled.
 */
const beforeCommit = (
  transaction: OpenTransaction,
  left: () => Duration.Duration
): Effect.Effect<boolean> => {
  if (transaction.offsets.size === 0 && transaction.guard === null) return Effect.succeed(true)
  return Effect.gen(function*() {
    yield* sendMergedOffsets(transaction, left)
    yield* askGuard(transaction, left())
    // The offsets are sent whole, so that their session stays clean; an interruption that came
    // meanwhile is seen here.
    const probe = transaction.offsets.size === 0
      ? Exit.void
      : yield* Effect.exit(Effect.interruptible(Effect.yieldNow))
    if (Exit.isFailure(probe)) noteInterruption(transaction)
    return true
  })
}

const noteInterruption = (transaction: OpenTransaction): void => {
  transaction.interruptedBeforeCommit = true
  transition(transaction.core, "BodyFailed")
}

const awaitQuiet = (
  transaction: OpenTransaction,
  left: () => Duration.Duration
): Effect.Effect<boolean> => {
  const { quiet, queue } = transaction
  return transaction.sendsUnderWay === 0 && queue.isIdle()
    // `Effect.interruptible` around it sees an interruption that is already there.
    ? Effect.succeed(true)
    : within(Effect.andThen(Latch.await(quiet), queue.awaitIdle), left())
}

const within = (wait: Effect.Effect<void>, limit: Duration.Duration): Effect.Effect<boolean> =>
  Effect.map(Effect.timeoutOption(wait, limit), (done) => done._tag === "Some")

/**
 * Sends each group's merged offsets, once (I4). A failure taints the transaction.
 */
const sendMergedOffsets = (
  transaction: OpenTransaction,
  left: () => Duration.Duration
): Effect.Effect<void> => {
  const { core, live, offsets, clock } = transaction
  if (offsets.size === 0) return Effect.void
  const { transactionalId } = core.settings
  const problem = MergedOffsets.problemOf(offsets)
  if (problem !== null) {
    noteFailure(transaction, new KafkaError({ operation: "sendOffsets", reason: problem }))
    return Effect.void
  }
  return Effect.forEach(
    MergedOffsets.toCommits(offsets, tokenOf(transaction)),
    (commits) => {
      // Half of the groups is as bad as none: the transaction cannot commit any more.
      if (transaction.firstFailure !== null || transaction.interruptedSend) return Effect.void
      return untilDeadline({
        request: "TxnOffsetCommit",
        limit: left(),
        attempt: tellSession(transaction).pipe(
          Effect.andThen(live.session.sendOffsets(commits)),
          Effect.tap(() =>
            Effect.sync(() => {
              transaction.registeredAtMillis ??= monotonicMillisOf(clock)
            })
          )
        ),
        onUnanswered: () => note(transaction, "Unanswered")
      }).pipe(
        Effect.mapError((error) => {
          const reason = recordFailure(transaction, error, { groupId: commits.groupId })
          return new KafkaError({ operation: "sendOffsets", reason })
        }),
        withOffsetsSpan(transactionalId, transaction.span, commits),
        Effect.catch((error) => Effect.sync(() => noteFailure(transaction, error)))
      )
    },
    { discard: true }
  )
}

/**
 * Asks the consuming pipeline, where the transaction is one of its, whether it may still commit.
 */
const askGuard = (
  transaction: OpenTransaction,
  limit: Duration.Duration
): Effect.Effect<void> => {
  const { guard } = transaction
  if (guard === null || transaction.firstFailure !== null) return Effect.void
  const afterMillis = Duration.toMillis(limit)
  return guard.beforeCommit.pipe(
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () => {
        const reason = new TimedOut({ request: "Heartbeat", afterMillis, last: "no answer" })
        return Effect.fail(new KafkaError({ operation: "commit", reason }))
      }
    }),
    Effect.catch((error) => Effect.sync(() => noteFailure(transaction, error)))
  )
}
