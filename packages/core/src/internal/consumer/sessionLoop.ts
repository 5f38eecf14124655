import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import type { ConsumerSession, SessionEvent } from "../../ConsumerDriver.ts"
import { ConsumerEvent } from "../../ConsumerEvent.ts"
import { DriverError, Failure } from "../../DriverError.ts"
import { KafkaError, TimedOut, Unreachable, UnsupportedByDriver } from "../../KafkaError.ts"
import { toKey } from "../../TopicPartition.ts"
import { describe, verdictOf } from "../classify.ts"
import * as Heard from "../heard.ts"
import { closeScope } from "../liveSession.ts"
import { assigned, lost, revoking } from "./assignment.ts"
import * as Lane from "./lane.ts"
import {
  isSilence,
  type Member,
  noteReachable,
  noteUnreachable,
  pauseMillis,
  publish,
  reasonIn
} from "./member.ts"

/**
 * Keeps a member in its group: opens a session, follows its events, and opens the next one when it
 * is over. Ends only with a failure that trying again does not cure.
 */
export const run = (member: Member): Effect.Effect<never, KafkaError> =>
  Effect.suspend(() => once(member)).pipe(
    Effect.catch((error) => {
      const failure = toKafkaError(member, error)
      if (isFatal(error)) {
        return Effect.andThen(Deferred.fail(member.opened, failure), Effect.fail(failure))
      }
      return Effect.andThen(prepareNext(member, error, failure), run(member))
    })
  )

const once = (member: Member): Effect.Effect<never, DriverError> =>
  Effect.uninterruptibleMask((restore) => {
    const scope = Scope.makeUnsafe()
    return restore(
      Effect.flatMap(Scope.provide(open(member), scope), (session) => follow(member, session))
    ).pipe(
      // Without its session nothing is owned any more: the group gives it to others.
      Effect.onExit(() => lost(member, [...member.lanes.values()])),
      Effect.onExit(() => closeScope(scope, leaveLimit(member)))
    )
  })

/**
 * A member that goes while it joins waits for the answer, which comes when the others have heard of
 * the rebalance; then it leaves. It owns nothing meanwhile, so that no release adds to this.
 */
const leaveLimit = ({ settings }: Member): Duration.Duration =>
  [settings.heartbeatInterval, settings.requestTimeout, settings.requestTimeout].reduce(
    Duration.sum,
    Duration.seconds(1)
  )

const open = (member: Member): Effect.Effect<ConsumerSession, DriverError, Scope.Scope> => {
  const { driver, settings } = member
  const { openConsumer } = driver
  if (openConsumer === null) return Effect.die(new Error("kafka-once: checked by `start`"))
  return openConsumer({
    groupId: settings.groupId,
    groupProtocol: settings.groupProtocol,
    groupInstanceId: settings.groupInstanceId,
    topics: settings.topics,
    isolation: settings.isolation,
    sessionTimeoutMillis: Duration.toMillis(settings.sessionTimeout),
    rebalanceTimeoutMillis: Duration.toMillis(settings.rebalanceTimeout),
    heartbeatIntervalMillis: Duration.toMillis(settings.heartbeatInterval),
    requestTimeoutMillis: Duration.toMillis(settings.requestTimeout),
    maxFetchWaitMillis: Duration.toMillis(settings.fetchWait),
    maxFetchBytes: settings.maxFetchBytes,
    maxPartitionFetchBytes: settings.maxPartitionFetchBytes,
    maxPrefetchRecords: settings.maxPrefetchRecords,
    maxPrefetchBytes: settings.maxPrefetchBytes
  }).pipe(
    Effect.timeoutOrElse({
      duration: settings.connectTimeout,
      orElse: () =>
        Effect.fail(
          new DriverError({
            request: "Connect",
            failure: Failure.NoAnswer(),
            detail: `no session within ${Duration.format(settings.connectTimeout)}`
          })
        )
    }),
    Effect.tap(() =>
      Effect.andThen(
        Metric.update(member.metrics.sessions, 1),
        Deferred.succeed(member.opened, undefined)
      )
    )
  )
}

const follow = (member: Member, session: ConsumerSession): Effect.Effect<never, DriverError> =>
  Effect.forever(
    Effect.flatMap(session.nextEvent, (event) => handle(member, session, event))
  )

const handle = (
  member: Member,
  session: ConsumerSession,
  event: SessionEvent
): Effect.Effect<void> => {
  switch (event._tag) {
    case "Assigned":
      return Effect.andThen(
        heard(member),
        // What is assigned while the member leaves is not taken up.
        member.closing
          ? Effect.void
          : assigned(member, session, event.membership, event.partitions)
      )
    case "Revoking":
      return revoking(member, event.partitions, Duration.millis(event.budgetMillis), event.release)
    case "Lost":
      return lost(member, event.partitions)
    case "OutOfRange":
      return Effect.sync(() => {
        const lane = member.lanes.get(toKey(event.topicPartition))
        if (lane === undefined) return
        lane.outOfRange = event.position
        Lane.wake(lane)
      })
    case "Disturbed":
      return isSilence(event.error)
        ? noteUnreachable(member, describe(event.error))
        : Effect.logDebug("kafka-once: a request of a consumer is repeated", {
          groupId: member.settings.groupId,
          last: describe(event.error)
        })
    case "Recovered":
      return heard(member)
  }
}

/** The session itself has had an answer, not what works in one of its partitions. */
const heard = (member: Member): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (member.unreachable !== null) Heard.tell(member.heard)
    return noteReachable(member)
  })

const prepareNext = (
  member: Member,
  error: DriverError,
  failure: KafkaError
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { groupId } = member.settings
    member.failures += 1
    if (isSilence(error)) yield* noteUnreachable(member, describe(error))
    yield* publish(member, ConsumerEvent.Rejoining({ groupId, error: failure }))
    // Each doubling is told, so that a log says how long it goes on without being filled by it.
    if (Number.isInteger(Math.log2(member.failures))) {
      yield* Effect.logWarning("kafka-once: a session in the group has ended; joining again", {
        groupId,
        failures: member.failures,
        last: describe(error)
      })
    }
    yield* Heard.pause(member.heard, pauseMillis(member.failures))
  })

// FENCED_INSTANCE_ID and UNRELEASED_INSTANCE_ID: another process has this static member's name.
// GROUP_ID_NOT_FOUND: the group is of another kind. GROUP_MAX_SIZE_REACHED and an unknown topic are
// the cluster's configuration.
const fatalCodes: ReadonlySet<number> = new Set([3, 69, 81, 82, 111])

const isFatal = (error: DriverError): boolean =>
  verdictOf(error) === "reconfigure" ||
  (error.failure._tag === "Answered" && fatalCodes.has(error.failure.code))

const toKafkaError = (member: Member, error: DriverError): KafkaError =>
  new KafkaError({
    operation: "consume",
    reason: isSilence(error)
      ? new Unreachable({
        sinceMillis: Duration.toMillis(member.settings.connectTimeout),
        last: describe(error)
      })
      : reasonIn(member, error)
  })

/**
 * What a driver cannot do for a consumer with these settings, or `null`.
 */
export const unsupported = ({ driver, settings }: Member): KafkaError | null => {
  const capability = driver.openConsumer === null
    ? "a consumer"
    : settings.isolation === "read_committed" && !driver.capabilities.correctReadCommitted
    ? "correctReadCommitted"
    : settings.groupInstanceId !== null && !driver.capabilities.staticMembership
    ? "staticMembership (KIP-345)"
    : settings.groupProtocol === "consumer" && !driver.capabilities.consumerGroupProtocol
    ? "consumerGroupProtocol (KIP-848)"
    : null
  if (capability === null) return null
  const reason = new UnsupportedByDriver({ driver: driver.name, capability })
  return new KafkaError({ operation: "consume", reason })
}

/**
 * The error of a cluster that did not answer in time when a consumer was made.
 */
export const notInTime = ({ settings, unreachable }: Member): KafkaError => {
  const afterMillis = Duration.toMillis(settings.connectTimeout)
  const reason = unreachable === null
    ? new TimedOut({ request: "Connect", afterMillis, last: "no answer" })
    : new Unreachable({ sinceMillis: afterMillis, last: unreachable.last })
  return new KafkaError({ operation: "consume", reason })
}
