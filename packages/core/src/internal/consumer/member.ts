import * as Clock from "effect/Clock"
import type * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import { ConsumerEvent } from "../../ConsumerEvent.ts"
import type { Settings } from "../../ConsumerOptions.ts"
import type { DriverError } from "../../DriverError.ts"
import type { GroupMembership } from "../../GroupOffsets.ts"
import type { KafkaDriver } from "../../KafkaDriver.ts"
import { KafkaError, type Operation, type Reason } from "../../KafkaError.ts"
import { describe, reasonOf, verdictOf } from "../classify.ts"
import type { Heard } from "../heard.ts"
import type { Lane } from "./lane.ts"
import type { ConsumerMetrics } from "./metrics.ts"

/**
 * One member of a consumer group, over as many sessions as it takes: what it owns, and how it is
 * doing. Its fields change only between two asynchronous steps.
 */
export interface Member {
  readonly settings: Settings
  readonly driver: KafkaDriver["Service"]
  readonly events: PubSub.PubSub<ConsumerEvent>
  readonly metrics: ConsumerMetrics
  readonly heard: Heard | null
  /**
   * What runs while a partition is owned; it ends by itself soon after the lane is revoked, and
   * where it fails, so does the member.
   */
  readonly own: (lane: Lane) => Effect.Effect<void>
  /** How long what {@link own} runs may take to end when it is interrupted. */
  readonly endingTime: Duration.Duration
  /** The scope in which its fibers run. */
  readonly scope: Scope.Scope
  /** The first session is open, or cannot be. */
  readonly opened: Deferred.Deferred<void, KafkaError>
  readonly lanes: Map<string, Lane>
  /** What still ends of an earlier ownership; the next one waits for it. */
  readonly ending: Map<string, Fiber.Fiber<void, never>>
  readonly paused: Set<string>
  membership: GroupMembership | null
  /** Sessions that have failed since the last one that was assigned anything. */
  failures: number
  unreachable: { readonly sinceMillis: number; readonly last: string } | null
  closing: boolean
}

/**
 * Publishes an event; a subscriber that lags loses the oldest ones.
 */
export const publish = (member: Member, event: ConsumerEvent): Effect.Effect<void> =>
  Effect.sync(() => {
    PubSub.publishUnsafe(member.events, event)
  })

/**
 * The reason of a failed request of a member.
 */
export const reasonIn = (
  { settings }: Member,
  error: DriverError,
  topics: ReadonlyArray<string> = settings.topics
): Reason =>
  reasonOf(error, {
    groupId: settings.groupId,
    ...settings.groupInstanceId === null ? {} : { groupInstanceId: settings.groupInstanceId },
    topics,
    sessionTimeoutMillis: Duration.toMillis(settings.sessionTimeout)
  })

/**
 * Notes that brokers do not answer, and says so once.
 */
export const noteUnreachable = (member: Member, last: string): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (sinceMillis) => {
    if (member.unreachable !== null) return Effect.void
    member.unreachable = { sinceMillis, last }
    const { groupId } = member.settings
    return Effect.logWarning("kafka-once: brokers do not answer; the consumer waits", {
      groupId,
      last
    }).pipe(
      Effect.andThen(Metric.update(member.metrics.unreachable, 1)),
      Effect.andThen(publish(member, ConsumerEvent.Unreachable({ groupId, last })))
    )
  })

/**
 * Notes that brokers answer, and says so where they did not before.
 */
export const noteReachable = (member: Member): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (member.unreachable === null) return Effect.void
    member.unreachable = null
    const { groupId } = member.settings
    return Effect.logInfo("kafka-once: brokers answer again", { groupId }).pipe(
      Effect.andThen(Metric.update(member.metrics.unreachable, 0)),
      Effect.andThen(publish(member, ConsumerEvent.Reachable({ groupId })))
    )
  })

/**
 * Whether a failure may be cured by time, another broker, or another membership. Reading changes
 * nothing, so that an answer nobody expects is asked for again, too.
 */
const isPassing = (error: DriverError): boolean => verdictOf(error) !== "reconfigure"

/**
 * Whether a failure means that brokers do not answer, as opposed to one that answers "not yet".
 */
export const isSilence = ({ failure }: DriverError): boolean =>
  failure._tag === "NoAnswer" || failure._tag === "NotSent"

/**
 * The pause after the nth failure in a row, n counting from 1.
 */
export const pauseMillis = (n: number): number => Math.min(100 * 2 ** Math.min(n - 1, 6), 5_000)

/**
 * Repeats a request for as long as its failures pass, however long that takes: a consumer waits for
 * its cluster. Whoever calls it bounds it by the ownership of a partition, or by a deadline.
 */
export const persist = <A>(
  member: Member,
  operation: Operation,
  request: Effect.Effect<A, DriverError>
): Effect.Effect<A, KafkaError> => {
  const limited = Effect.timeoutOption(request, member.settings.requestTimeout)
  const loop = (failures: number): Effect.Effect<A, KafkaError> =>
    Effect.matchEffect(limited, {
      onSuccess: (answer) =>
        answer._tag === "Some"
          ? Effect.as(noteReachable(member), answer.value)
          : Effect.andThen(noteUnreachable(member, "no answer"), again(failures)),
      onFailure: (error) =>
        !isPassing(error)
          ? Effect.fail(new KafkaError({ operation, reason: reasonIn(member, error) }))
          : Effect.andThen(
            isSilence(error) ? noteUnreachable(member, describe(error)) : Effect.void,
            again(failures)
          )
    })
  const again = (failures: number) =>
    Effect.andThen(Effect.sleep(pauseMillis(failures)), Effect.suspend(() => loop(failures + 1)))
  return loop(1)
}
