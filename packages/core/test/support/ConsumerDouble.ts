/**
 * The consuming half of the driver double: members of {@link GroupDouble} that read the logs of the
 * {@link BrokerDouble}, with the library's own read_committed filter.
 */
import {
  type ConsumerSession,
  type ConsumerSessionOptions,
  type FetchedBatch,
  type FetchedRecord,
  SessionEvent,
  type StartAt
} from "@kafka-once/core/ConsumerDriver"
import { DriverError, Failure } from "@kafka-once/core/DriverError"
import type { GroupMembership } from "@kafka-once/core/GroupOffsets"
import * as ReadCommitted from "@kafka-once/core/ReadCommitted"
import { toKey, type TopicPartition } from "@kafka-once/core/TopicPartition"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as BrokerDouble from "./BrokerDouble.ts"

/** How the port's calls pass the driver double's log and faults. */
export type Perform = <A>(
  operation: "openConsumer" | "seek" | "heartbeat" | "commitOffsets",
  request: DriverError["request"],
  act: () => BrokerDouble.Answer<A>
) => Effect.Effect<A, DriverError>

/** One session as a test sees it. */
export interface Opened {
  readonly memberId: string
  readonly options: ConsumerSessionOptions
  readonly fetched: Array<FetchedBatch>
  readonly sought: Array<TopicPartition & { readonly to: StartAt }>
  readonly settled: Array<TopicPartition & { readonly offset: bigint }>
  readonly paused: Set<string>
  isOpen: boolean
  /** Ends the session, as a coordinator that is gone for too long does. */
  readonly die: (failure: DriverError) => void
  readonly tell: (event: SessionEvent) => void
  /** Skips so many offsets of a partition, as a client with a bug does. */
  readonly jump: (at: TopicPartition, count: bigint) => void
}

interface Lane {
  readonly topicPartition: TopicPartition
  next: bigint | null
}

interface Session extends Opened {
  membership: GroupMembership
  readonly lanes: Map<string, Lane>
  readonly events: Queue.Queue<SessionEvent, DriverError>
}

export const open = (options: {
  readonly broker: BrokerDouble.BrokerDouble
  readonly holds: boolean
  readonly tellsStable: boolean
  readonly fetchRecords: () => number
  readonly perform: Perform
  readonly opened: Array<Opened>
  readonly session: ConsumerSessionOptions
}): Effect.Effect<ConsumerSession, DriverError, Scope.Scope> =>
  Effect.gen(function*() {
    const { broker, perform } = options
    const { groupId, topics } = options.session
    yield* perform("openConsumer", "JoinGroup", () => ({ value: undefined }))
    const group = broker.group(groupId, topics)
    const events = yield* Queue.unbounded<SessionEvent, DriverError>()
    const session = join(options, group, events)
    options.opened.push(session)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        session.isOpen = false
        group.leave(session.memberId)
        Queue.shutdownUnsafe(events)
      })
    )
    return toPort(options, session, group)
  })

const join = (
  options: Parameters<typeof open>[0],
  group: ReturnType<BrokerDouble.BrokerDouble["group"]>,
  events: Session["events"]
): Session => {
  const tell = (event: SessionEvent): void => {
    Queue.offerUnsafe(events, event)
  }
  const session: Session = {
    memberId: "",
    options: options.session,
    membership: { generationId: 0, memberId: "", groupInstanceId: null },
    fetched: [],
    sought: [],
    settled: [],
    paused: new Set(),
    isOpen: true,
    lanes: new Map(),
    events,
    tell,
    jump: (at, count) => {
      const lane = session.lanes.get(toKey(at))
      if (lane !== undefined && lane.next !== null) lane.next += count
      options.broker.changed()
    },
    die: (failure) => {
      group.leave(session.memberId)
      Queue.failCauseUnsafe(events, Cause.fail(failure))
    }
  }
  const drop = (partitions: ReadonlyArray<TopicPartition>) => {
    for (const at of partitions) session.lanes.delete(toKey(at))
  }
  const memberId = group.join({
    holds: options.holds,
    assigned: (membership, partitions) => {
      session.membership = membership
      for (const topicPartition of partitions) {
        session.lanes.set(toKey(topicPartition), { topicPartition, next: null })
      }
      tell(SessionEvent.Assigned({ membership, partitions }))
    },
    revoking: (partitions, release) => {
      drop(partitions)
      tell(SessionEvent.Revoking({
        partitions,
        budgetMillis: options.session.rebalanceTimeoutMillis,
        release: Effect.sync(release)
      }))
    },
    lost: (partitions) => {
      drop(partitions)
      tell(SessionEvent.Lost({ partitions }))
    }
  })
  return Object.assign(session, { memberId })
}

const toPort = (
  options: Parameters<typeof open>[0],
  session: Session,
  group: ReturnType<BrokerDouble.BrokerDouble["group"]>
): ConsumerSession => {
  const { broker, perform } = options
  const refuse = (code: number | null): BrokerDouble.Answer<void> =>
    code === null ? { value: undefined } : { code }
  return {
    nextEvent: Queue.take(session.events),
    take: (at) => take(options, session, at),
    seek: (at, to) =>
      perform("seek", "ListOffsets", () => {
        const lane = session.lanes.get(toKey(at))
        session.sought.push({ topic: at.topic, partition: at.partition, to })
        if (lane !== undefined) lane.next = broker.locate(at, to)
        broker.changed()
        return { value: undefined }
      }),
    pause: (partitions) =>
      Effect.sync(() => partitions.forEach((at) => session.paused.add(toKey(at)))),
    resume: (partitions) =>
      Effect.sync(() => {
        for (const at of partitions) session.paused.delete(toKey(at))
        broker.changed()
      }),
    settled: ({ partition, topic }, offset) =>
      Effect.sync(() => {
        session.settled.push({ topic, partition, offset })
      }),
    heartbeat: perform("heartbeat", "Heartbeat", () => refuse(group.heartbeat(session.memberId))),
    commit: (membership, positions) =>
      perform("commitOffsets", "OffsetCommit", () => {
        const code = group.refusal(membership)
        if (code === null) broker.commitOffsets(options.session.groupId, positions)
        return refuse(code)
      }),
    watermarks: (at) => {
      const { highWatermark, lastStableOffset } = broker.watermarks(at)
      return { highWatermark, lastStableOffset: options.tellsStable ? lastStableOffset : null }
    }
  }
}

const take = (
  options: Parameters<typeof open>[0],
  session: Session,
  at: TopicPartition
): Effect.Effect<FetchedBatch> =>
  Effect.suspend(() => {
    const changed = options.broker.nextChange()
    const batch = fetch(options, session, at)
    return batch === null
      ? Effect.andThen(Deferred.await(changed), take(options, session, at))
      : Effect.succeed(batch)
  })

const fetch = (
  { broker, fetchRecords, session: { isolation } }: Parameters<typeof open>[0],
  session: Session,
  at: TopicPartition
): FetchedBatch | null => {
  const lane = session.lanes.get(toKey(at))
  if (lane === undefined || lane.next === null || session.paused.has(toKey(at))) return null
  if (!session.isOpen) return null
  const position = lane.next
  const read = broker.read(at, position, isolation, fetchRecords())
  if (read === "out of range") {
    lane.next = null
    const { partition, topic } = at
    session.tell(SessionEvent.OutOfRange({ topicPartition: { topic, partition }, position }))
    return null
  }
  if (read.next === position) return null
  lane.next = read.next
  const visible = isolation === "read_committed"
    ? ReadCommitted.filter(read.batches, read.aborted)
    : read.batches.filter(({ control }) => control === null)
  const records: ReadonlyArray<FetchedRecord> = visible.flatMap(({ offset, records }) =>
    records.map((record, i) => ({ ...record, offset: offset + BigInt(i) }))
  ).filter(({ offset }) => offset >= position)
  const batch: FetchedBatch = {
    topic: at.topic,
    partition: at.partition,
    membership: session.membership,
    position,
    nextOffset: read.next,
    records,
    bytes: records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
  }
  session.fetched.push(batch)
  return batch
}

/** A failure of the port, as a test scripts it. */
export const failure = (request: DriverError["request"], code: number | null): DriverError =>
  new DriverError({
    request,
    failure: code === null ? Failure.NoAnswer() : Failure.Answered({ code }),
    detail: "the test made it fail"
  })
