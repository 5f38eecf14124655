import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import type { ConsumerEvent } from "../../ConsumerEvent.ts"
import * as ConsumerOptions from "../../ConsumerOptions.ts"
import { KafkaDriver } from "../../KafkaDriver.ts"
import { KafkaError, TimedOut, UnknownTopic, Unreachable } from "../../KafkaError.ts"
import { guarded } from "../guardedDriver.ts"
import { CurrentHeard } from "../heard.ts"
import { type Exhausted, untilDeadline } from "../repeat.ts"
import { letGo } from "./assignment.ts"
import type { Lane } from "./lane.ts"
import { isSilence, type Member, reasonIn } from "./member.ts"
import { metricsOf } from "./metrics.ts"
import * as SessionLoop from "./sessionLoop.ts"

// How many events a subscriber may lag behind.
const eventsKept = 1_024

/**
 * How a member ends: what is open may go on for `drainTimeout`, or until `hurry` completes.
 */
export interface Leaving {
  readonly drainTimeout: Duration.Duration
  readonly hurry: Effect.Effect<unknown>
}

/**
 * A member, and what it waits for in vain unless it cannot go on.
 */
export interface Made<E> {
  readonly member: Member
  readonly failed: Effect.Effect<never, E | KafkaError>
}

/**
 * Makes a member of a group in the current scope, checks what it needs, and opens its first
 * session.
 *
 * Closing the scope stops what works in its partitions, lets what is open end within a limit, and
 * leaves the group.
 */
export const make = <E, R>(
  options: ConsumerOptions.ConsumerOptions,
  leaving: Leaving,
  endingTime: Duration.Duration,
  alsoRequired: ReadonlyArray<string>,
  own: (member: Member, lane: Lane) => Effect.Effect<void, E | KafkaError, R>
): Effect.Effect<Made<E>, KafkaError, KafkaDriver | Scope.Scope | R> =>
  Effect.gen(function*() {
    const settings = yield* ConsumerOptions.resolve(options)
    const driver = guarded(yield* KafkaDriver)
    const context = yield* Effect.context<R>()
    const events = yield* PubSub.sliding<ConsumerEvent>(eventsKept)
    const scope = Scope.makeUnsafe()
    const failure = Deferred.makeUnsafe<never, E | KafkaError>()
    const orFail = <X extends E | KafkaError>(effect: Effect.Effect<void, X>) =>
      Effect.catchCause(effect, (cause) =>
        // What is interrupted was lost, or is told to end.
        Cause.hasInterruptsOnly(cause)
          ? Effect.failCause(cause as Cause.Cause<never>)
          : Effect.asVoid(Deferred.failCause(failure, cause)))
    const member: Member = {
      settings,
      driver,
      events,
      metrics: metricsOf(settings.groupId),
      heard: yield* CurrentHeard,
      own: (lane) => orFail(Effect.provideContext(own(member, lane), context)),
      endingTime,
      scope,
      opened: Deferred.makeUnsafe(),
      lanes: new Map(),
      ending: new Map(),
      paused: new Set(),
      membership: null,
      failures: 0,
      unreachable: null,
      closing: false
    }
    const unsupported = SessionLoop.unsupported(member)
    if (unsupported !== null) return yield* Effect.fail(unsupported)
    yield* Effect.forEach([...settings.topics, ...alsoRequired], (topic) =>
      requireTopic(member, topic), {
      discard: true
    })
    const loop = yield* Effect.acquireRelease(
      Effect.forkIn(orFail(SessionLoop.run(member)), scope),
      (loop) =>
        leave(member, scope, loop, leaving)
    )
    // A member that cannot go on holds no partitions: others take them over.
    yield* Deferred.await(failure).pipe(
      Effect.exit,
      Effect.andThen(Fiber.interrupt(loop)),
      Effect.forkIn(scope)
    )
    yield* Effect.timeoutOrElse(Deferred.await(member.opened), {
      duration: settings.connectTimeout,
      orElse: () =>
        Effect.fail(SessionLoop.notInTime(member))
    })
    return { member, failed: Deferred.await(failure) }
  })

/**
 * Fails where a topic does not exist, or cannot be asked about.
 */
const requireTopic = (member: Member, topic: string): Effect.Effect<number, KafkaError> =>
  untilDeadline({
    request: "Metadata",
    limit: member.settings.requestTimeout,
    attempt: member.driver.partitionCount(topic),
    onUnanswered: () => {}
  }).pipe(
    Effect.mapError((error) => {
      const last = error._tag === "Exhausted" ? error.last : error
      // A topic that has just been created may be unknown for a moment, but not until the deadline.
      if (last?.failure._tag === "Answered" && last.failure.code === 3) {
        return new KafkaError({ operation: "consume", reason: new UnknownTopic({ topic }) })
      }
      const reason = error._tag === "Exhausted" ? notAsked(error) : reasonIn(member, error, [topic])
      return new KafkaError({ operation: "consume", reason })
    })
  )

const notAsked = ({ afterMillis, last, lastText, request }: Exhausted) =>
  last === null || isSilence(last)
    ? new Unreachable({ sinceMillis: afterMillis, last: lastText })
    : new TimedOut({ request, afterMillis, last: lastText })

// Longer than any settling of a transaction takes, which is bounded by itself.
const endLimit = Duration.seconds(60)

/**
 * Leaves the group: the events go on being followed while what is open ends, so that a loss in the
 * middle of it aborts.
 */
const leave = (
  member: Member,
  scope: Scope.Closeable,
  loop: Fiber.Fiber<unknown, unknown>,
  { drainTimeout, hurry }: Leaving
): Effect.Effect<void> =>
  Effect.gen(function*() {
    member.closing = true
    yield* letGo(member, [...member.lanes.values()], drainTimeout, hurry)
    yield* Effect.timeoutOption(Fiber.awaitAll([...member.ending.values()]), endLimit)
    // Closes the session, which leaves the group; that is bounded.
    yield* Fiber.interrupt(loop)
    yield* Scope.close(scope, Exit.void)
    yield* PubSub.shutdown(member.events)
  })
