import * as Effect from "effect/Effect"
import type { KafkaDriver } from "../KafkaDriver.ts"
import { type CommitOutcomeUnknown, KafkaError } from "../KafkaError.ts"
import * as ProducerOptions from "../ProducerOptions.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"
import { guarded } from "./guardedDriver.ts"
import * as LiveSession from "./liveSession.ts"
import * as OutcomeResolver from "./outcomeResolver.ts"

/**
 * Answers a transaction's outcome without the producer that ran it: by its end marker where there
 * is one, and else by a fence and another look.
 */
export const resolve = (
  unguarded: KafkaDriver["Service"],
  error: KafkaError | CommitOutcomeUnknown
): Effect.Effect<TransactionOutcome, KafkaError> =>
  Effect.gen(function*() {
    const driver = guarded(unguarded)
    const reason = error._tag === "KafkaError" ? error.reason : error
    if (reason._tag !== "CommitOutcomeUnknown") {
      // Every other reason is one of a transaction that did not commit, or never began.
      return yield* Effect.fail(new KafkaError({ operation: "resolve", reason }))
    }
    const { transactionalId } = reason
    const settings = yield* ProducerOptions.resolve({ transactionalId })
    const { requestTimeout, resolveTimeout } = settings
    const resolver = { driver, reason, limit: resolveTimeout, requestTimeout, atOnce: false }
    const first = yield* OutcomeResolver.lookUnfenced({ ...resolver, fenced: false })
    if (first._tag === "Decisive") return first.outcome
    // A fence cannot bring back what is gone, and would end a producer that lives.
    if (first._tag === "Gone") return TransactionOutcome.Unknown({ reason })
    yield* fence(driver, settings, reason)
    return yield* OutcomeResolver.resolve({ ...resolver, fenced: true })
  })

/**
 * Whoever has a later epoch has ended the transaction, and is left alone: that is why nothing is
 * said to be left open, of which a later epoch could be the end. A producer that lives on finds the
 * fence as one of its own, and goes on; without `epochBump` it takes the id back.
 */
const fence = (
  driver: KafkaDriver["Service"],
  settings: ProducerOptions.Settings,
  { epoch, producerId }: CommitOutcomeUnknown
): Effect.Effect<void, KafkaError> =>
  Effect.uninterruptibleMask((restore) => {
    const resume = driver.capabilities.epochBump ? { producerId, epoch, leftOpen: null } : null
    const { resolveTimeout: limit } = settings
    const opening = { driver, settings, limit, resume, onUnanswered: () => {} }
    return LiveSession.open(opening, restore).pipe(
      Effect.mapError((error) => LiveSession.openFailure(settings, "resolve", error, resume)),
      Effect.flatMap((live) => LiveSession.closeScope(live.scope)),
      Effect.catchReason(
        "KafkaError",
        "ProducerFenced",
        (_, error) => resume === null ? Effect.fail(error) : Effect.void
      )
    )
  })
