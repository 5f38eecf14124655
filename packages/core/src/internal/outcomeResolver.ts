import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { EndMarker, KafkaDriver } from "../KafkaDriver.ts"
import type { CommitOutcomeUnknown } from "../KafkaError.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"

/**
 * What the log says of a transaction whose commit was not answered.
 */
type Evidence =
  | { readonly _tag: "Decisive"; readonly outcome: TransactionOutcome }
  | { readonly _tag: "NotYet" }
  | { readonly _tag: "Gone" }

const notYet: Evidence = { _tag: "NotYet" }
const gone: Evidence = { _tag: "Gone" }

const decisive = (outcome: TransactionOutcome): Evidence => ({ _tag: "Decisive", outcome })

const committedBy = (proof: "end marker" | "committed offset") =>
  decisive(TransactionOutcome.Committed({ proof }))

const aborted = decisive(TransactionOutcome.Aborted())

// The first looks come soon, because a marker that was just written is visible within milliseconds.
const lookSchedule = Schedule.min([Schedule.exponential("10 millis", 2), Schedule.spaced("1 second")])

/**
 * Reads the evidence until it is decisive or the limit has passed.
 *
 * `fenced` tells that a newer session of the same id exists, so that the transaction is decided and
 * no late request can change that. Before it, only an end marker counts; a marker never changes.
 */
export const resolve = (
  driver: KafkaDriver["Service"],
  reason: CommitOutcomeUnknown,
  limit: Duration.Duration,
  fenced: boolean
): Effect.Effect<TransactionOutcome> => {
  const unknown = TransactionOutcome.Unknown({ reason })
  const look = lookOnce(driver, reason, fenced)
  return look.pipe(
    Effect.repeat({
      schedule: lookSchedule,
      while: (evidence) => fenced && evidence._tag === "NotYet"
    }),
    Effect.map((evidence) => evidence._tag === "Decisive" ? evidence.outcome : unknown),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(unknown) })
  )
}

const lookOnce = (
  driver: KafkaDriver["Service"],
  reason: CommitOutcomeUnknown,
  fenced: boolean
): Effect.Effect<Evidence> =>
  Effect.gen(function*() {
    const markers = yield* lookAtMarkers(driver, reason)
    if (markers._tag === "Decisive" || !fenced) return markers
    if (reason.offsets.length > 0) return yield* lookAtOffsets(driver, reason)
    // Nothing was acknowledged, so nothing was registered that a commit could have been about.
    return reason.acknowledged.length === 0 ? aborted : markers
  })

/**
 * The first end marker of the producer id after an acknowledged offset, in any of the partitions:
 * all of a transaction's markers say the same.
 */
const lookAtMarkers = (
  driver: KafkaDriver["Service"],
  reason: CommitOutcomeUnknown
): Effect.Effect<Evidence> =>
  Effect.gen(function*() {
    const located = reason.acknowledged.filter(({ offset }) => offset >= 0n)
    let left = located.length
    for (const { topic, partition, offset } of located) {
      const marker: EndMarker = yield* driver
        .endMarker({ topic, partition }, offset, reason.producerId)
        // A leader that cannot be asked now may be asked at the next look, or another partition's.
        .pipe(Effect.catch(() => Effect.succeed<EndMarker>("none yet")))
      if (marker === "commit") return committedBy("end marker")
      if (marker === "abort") return aborted
      if (marker === "gone") left -= 1
    }
    return left > 0 ? notYet : gone
  })

/**
 * For a transaction of offsets alone: the group's committed offsets carry the token of the attempt
 * that wrote them.
 */
const lookAtOffsets = (
  driver: KafkaDriver["Service"],
  reason: CommitOutcomeUnknown
): Effect.Effect<Evidence> => {
  const wanted = reason.offsets[0]!
  const { groupId, topic, partition } = wanted
  return driver.committedOffsets(groupId, [{ topic, partition }]).pipe(
    Effect.map(([found]) => {
      if (found === undefined || found.offset === null) return aborted
      if (found.metadata === wanted.token) return committedBy("committed offset")
      // A newer position may have been written over ours; an older one was not moved by us.
      return found.offset < wanted.offset ? aborted : gone
    }),
    Effect.catch(() => Effect.succeed(notYet))
  )
}
