import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { EndMarker, KafkaDriver } from "../KafkaDriver.ts"
import type { CommitOutcomeUnknown } from "../KafkaError.ts"
import { TransactionOutcome } from "../TransactionOutcome.ts"

/**
 * What the log says of a transaction whose commit was not answered; `Gone` is an evidence that can
 * never come any more.
 */
export type Evidence =
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
const lookSchedule = Schedule.min([
  Schedule.exponential("10 millis", 2),
  Schedule.spaced("1 second")
])

/**
 * What is asked of the resolver.
 *
 * `fenced` tells that a newer session of the same id exists, so that the transaction is decided and
 * no late request can change that. Before it, only an end marker counts; a marker never changes.
 *
 * `atOnce` tells that the producer itself asks, right after its commit: the group's offset is still
 * what the transaction has found or made it. Later the group may have been rewound, or its offset
 * have expired, and an older offset proves nothing.
 */
export interface Question {
  readonly driver: KafkaDriver["Service"]
  readonly reason: CommitOutcomeUnknown
  readonly limit: Duration.Duration
  readonly requestTimeout: Duration.Duration
  readonly fenced: boolean
  readonly atOnce: boolean
}

/**
 * Reads the evidence until it is decisive or the limit has passed.
 */
export const resolve = (question: Question): Effect.Effect<TransactionOutcome> => {
  const { reason, limit, fenced } = question
  const unknown = TransactionOutcome.Unknown({ reason })
  return lookOnce(question).pipe(
    Effect.repeat({
      schedule: lookSchedule,
      while: (evidence) => fenced && evidence._tag === "NotYet"
    }),
    Effect.map((evidence) => evidence._tag === "Decisive" ? evidence.outcome : unknown),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(unknown) })
  )
}

/**
 * One look before any fence. What counts is what cannot change: an end marker, or the attempt's own
 * token. `NotYet` may become decisive by a fence; `Gone` never does.
 */
export const lookUnfenced = (question: Question): Effect.Effect<Evidence> =>
  Effect.gen(function*() {
    const { reason } = question
    const markers = yield* lookAtMarkers(question)
    if (markers._tag === "Decisive") return markers
    if (reason.offsets.length === 0) return reason.acknowledged.length === 0 ? notYet : markers
    const offsets = yield* lookAtOffsets(question)
    if (offsets._tag === "Decisive") return offsets
    return markers._tag === "NotYet" || offsets._tag === "NotYet" ? notYet : gone
  }).pipe(
    Effect.timeoutOrElse({ duration: question.limit, orElse: () => Effect.succeed(notYet) })
  )

const lookOnce = (question: Question): Effect.Effect<Evidence> =>
  Effect.gen(function*() {
    const { reason, fenced } = question
    const markers = yield* lookAtMarkers(question)
    if (markers._tag === "Decisive" || !fenced) return markers
    if (reason.offsets.length > 0) return yield* lookAtOffsets(question)
    // Nothing was acknowledged, so nothing was registered that a commit could have been about.
    return reason.acknowledged.length === 0 ? aborted : markers
  })

// Partitions that are asked at once: one whose leader does not answer must not hide the others.
const concurrentLooks = 8

/**
 * The first end marker of the producer id after an acknowledged offset, in any of the partitions:
 * all of a transaction's markers say the same.
 */
const lookAtMarkers = (
  { driver, reason, requestTimeout }: Question
): Effect.Effect<Evidence> =>
  Effect.gen(function*() {
    const located = reason.acknowledged.filter(({ offset }) => offset >= 0n)
    const found = yield* Deferred.make<Evidence>()
    const looks = Effect.forEach(located, ({ topic, partition, offset }) =>
      driver.endMarker({ topic, partition }, offset, reason.producerId).pipe(
        // A leader that cannot be asked now may be asked at the next look.
        Effect.timeoutOrElse({
          duration: requestTimeout,
          orElse: () =>
            Effect.succeed<EndMarker>("none yet")
        }),
        Effect.catch(() => Effect.succeed<EndMarker>("none yet")),
        Effect.tap((marker) => {
          if (marker === "commit") return Deferred.succeed(found, committedBy("end marker"))
          return marker === "abort" ? Deferred.succeed(found, aborted) : Effect.void
        })
      ), { concurrency: concurrentLooks })
    const all = Effect.map(looks, (markers) =>
      markers.some((marker) =>
          marker !== "gone"
        )
        ? notYet
        : gone)
    const first = yield* Effect.raceFirst(all, Deferred.await(found))
    return Deferred.isDoneUnsafe(found) ? yield* Deferred.await(found) : first
  })

/**
 * For a transaction of offsets alone: the group's committed offsets carry the token of the attempt
 * that wrote them.
 */
const lookAtOffsets = (
  { atOnce, driver, fenced, reason, requestTimeout }: Question
): Effect.Effect<Evidence> => {
  const wanted = reason.offsets[0]!
  const { groupId, topic, partition } = wanted
  return driver.committedOffsets(groupId, [{ topic, partition }]).pipe(
    Effect.map(([found]) => {
      if (found?.metadata === wanted.token) return committedBy("committed offset")
      // A newer position may have been written over ours.
      const isOlder = found === undefined || found.offset === null || found.offset < wanted.offset
      if (!isOlder) return gone
      // Without a fence the commit may still come, and with it its token.
      if (!fenced) return notYet
      // An older position was not moved by us; but later it may have been moved back since.
      if (!atOnce) return gone
      // Unless the offset is read stable, our own may be on its way still.
      return driver.capabilities.stableOffsets ? aborted : notYet
    }),
    Effect.timeoutOrElse({ duration: requestTimeout, orElse: () => Effect.succeed(notYet) }),
    Effect.catch(() => Effect.succeed(notYet))
  )
}
