/**
 * A consumer session over the requests of a client: joining, heartbeats, revocations that are held,
 * fetching ahead within bounds, and the read_committed filter.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { ConsumerSession, ConsumerSessionOptions, SessionEvent } from "./ConsumerDriver.ts"
import { DriverError, Failure, type Request } from "./DriverError.ts"
import type { GroupProtocol } from "./GroupProtocol.ts"
import * as ConsumerMembership from "./internal/group/consumerMembership.ts"
import * as Fetching from "./internal/group/fetching.ts"
import * as Health from "./internal/group/health.ts"
import * as Membership from "./internal/group/membership.ts"
import * as OwnedPartitions from "./internal/group/ownedPartitions.ts"

/**
 * Opens a consumer session over the requests of a client.
 *
 * **Details**
 *
 * The session holds revocations, and tells last stable offsets.
 *
 * In the classic protocol rebalances are eager: all partitions are revoked, then assigned anew by
 * range, as the Java client's `RangeAssignor` does. The leading member looks for new partitions
 * every few seconds. In the consumer protocol (KIP-848) the coordinator assigns, by its own default
 * assignor, and a rebalance revokes only what goes to another member.
 *
 * *Errors*: `Metadata` with the code of a topic that cannot be used, or the failure of that first
 * request; `ConsumerGroupHeartbeat` where a first join in the consumer protocol is refused for
 * good, as by a broker that does not speak it. What goes wrong later is told by `nextEvent`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fnUntraced(function*(
  protocol: GroupProtocol,
  options: ConsumerSessionOptions
): Effect.fn.Return<ConsumerSession, DriverError, Scope.Scope> {
  for (const { code, topic } of yield* protocol.leaders(options.topics)) {
    if (code !== 0) {
      return yield* new DriverError({
        request: "Metadata",
        failure: Failure.Answered({ code }),
        detail: `The topic "${topic}" cannot be used`
      })
    }
  }
  const events = yield* Queue.unbounded<SessionEvent, DriverError>()
  const owned = OwnedPartitions.make(options)
  const health = Health.make((event) => Queue.offerUnsafe(events, event))
  // Registered in this order so that fetching ends first, and the group is left last.
  const { run } = options.groupProtocol === "classic" ? Membership : ConsumerMembership
  const membership = yield* run(protocol, options, owned, events, health)
  const fetching = yield* Fetching.run(protocol, options, owned, events, health)
  let isOpen = true
  // Registered last, so that it is closed before it leaves the group.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isOpen = false
    })
  )
  const whileOpen = <A>(request: Request, effect: Effect.Effect<A, DriverError>) =>
    Effect.suspend(() => isOpen ? effect : Effect.fail(isOver(request)))
  return {
    nextEvent: Queue.take(events),
    take: (topicPartition) =>
      Effect.catch(
        owned.take(topicPartition),
        // The session is over, and is told to be where sessions are.
        (error) => Effect.andThen(Queue.fail(events, error), Effect.never)
      ),
    seek: (topicPartition, to) => whileOpen("ListOffsets", fetching.seek(topicPartition, to)),
    pause: (partitions) => Effect.sync(() => owned.pause(partitions)),
    resume: (partitions) => Effect.sync(() => owned.resume(partitions)),
    settled: () => Effect.void,
    heartbeat: whileOpen("Heartbeat", membership.heartbeat),
    commit: (under, positions) =>
      whileOpen("OffsetCommit", protocol.commit(options.groupId, under, positions)),
    watermarks: owned.watermarks
  }
})

const unknownMemberId = 25

/** What the group would say. Whoever asks it would open a connection that nobody closes. */
const isOver = (request: Request): DriverError =>
  new DriverError({
    request,
    failure: Failure.Answered({ code: unknownMemberId }),
    detail: "The session is closed"
  })
