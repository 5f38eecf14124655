/**
 * A Kafka cluster in memory: transactional ids with epochs, logs with end markers, group offsets.
 *
 * It follows `TransactionCoordinator` and `ProducerStateManager` of Kafka 4.x as far as
 * transactions of protocol version 1 need it, and does each thing at once: what is asynchronous in
 * a broker is scripted by the driver double.
 */
import type { Isolation, StartAt } from "@kafka-once/core/ConsumerDriver"
import type {
  Appended,
  CommittedOffset,
  EncodedRecord,
  End,
  EndMarker,
  OffsetCommit,
  ProducerIdentity
} from "@kafka-once/core/KafkaDriver"
import { toKey, type TopicPartition } from "@kafka-once/core/TopicPartition"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as GroupDouble from "./GroupDouble.ts"
import * as Log from "./LogDouble.ts"

interface Ongoing {
  readonly partitions: Set<string>
  readonly offsets: Array<OffsetCommit>
  readonly since: number
}

interface Coordinated {
  readonly timeoutMillis: number
  producerId: bigint
  epoch: number
  ongoing: Ongoing | null
  /** What the last transaction of this epoch ended with. */
  last: End | null
  /** The first epoch of the instance that has the id: those from here on are its own. */
  readonly ownedSince: number
}

interface Initialisation {
  readonly transactionalId: string
  readonly timeoutMillis: number
  readonly now: number
  readonly resume: ProducerIdentity | null
}

export const codes = {
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  UNSTABLE_OFFSET_COMMIT: 88,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  PRODUCER_FENCED: 90
} as const

/** An answer: what was done, or the code of the refusal. */
export type Answer<A> = { readonly value: A } | { readonly code: number }

export type BrokerDouble = ReturnType<typeof make>

interface World {
  readonly logs: Map<string, Log.LogDouble>
  readonly coordinated: Map<string, Coordinated>
  readonly committed: Map<string, CommittedOffset>
  readonly groups: Map<string, GroupDouble.GroupDouble>
  /** Commits that moved a group back: anomaly E4. */
  readonly regressions: Array<string>
}

const createTopic = (world: World, topic: string, count: number): void => {
  for (let partition = 0; partition < count; partition++) {
    const log = { topic, partition, entries: [], start: 0n, next: 0n }
    world.logs.set(toKey({ topic, partition }), log)
  }
}

const empty = (): World => ({
  logs: new Map(),
  coordinated: new Map(),
  committed: new Map(),
  groups: new Map(),
  regressions: []
})

export const make = (topics: { readonly [topic: string]: number }) => {
  const world = empty()
  let nextProducerId = 1_000n
  let change = Deferred.makeUnsafe<void>()
  const changed = (): void => {
    const told = change
    change = Deferred.makeUnsafe()
    Deferred.doneUnsafe(told, Effect.void)
  }
  for (const [topic, count] of Object.entries(topics)) createTopic(world, topic, count)

  const initialize = (world: World, request: Initialisation): ProducerIdentity => {
    const { now, resume, timeoutMillis, transactionalId } = request
    expire(world, now)
    const known = world.coordinated.get(transactionalId)
    if (known !== undefined && known.ongoing !== null) end(world, known, "abort")
    changed()
    const producerId = known?.producerId ?? nextProducerId++
    const epoch = known === undefined ? 0 : known.epoch + 1
    const ownedSince = resume === null ? epoch : known?.ownedSince ?? 0
    const id = { timeoutMillis, producerId, epoch, ongoing: null, last: null, ownedSince }
    world.coordinated.set(transactionalId, id)
    return { producerId, epoch }
  }

  const owned = (transactionalId: string, identity: ProducerIdentity, now: number) => {
    expire(world, now)
    const id = world.coordinated.get(transactionalId)
    return id?.producerId === identity.producerId && id.epoch === identity.epoch ? id : null
  }

  return {
    createTopic: (topic: string, count: number) => createTopic(world, topic, count),
    partitionCount: (topic: string): Answer<number> => {
      const count = [...world.logs.values()].filter((log) => log.topic === topic).length
      return count === 0 ? { code: codes.UNKNOWN_TOPIC_OR_PARTITION } : { value: count }
    },
    initialize: (transactionalId: string, timeoutMillis: number, now: number) =>
      initialize(world, { transactionalId, timeoutMillis, now, resume: null }),
    /** Only if no other instance has taken the id over since. */
    resume: (
      transactionalId: string,
      timeoutMillis: number,
      now: number,
      resume: ProducerIdentity
    ): Answer<ProducerIdentity> =>
      resume.epoch < (world.coordinated.get(transactionalId)?.ownedSince ?? 0)
        ? { code: codes.PRODUCER_FENCED }
        : { value: initialize(world, { transactionalId, timeoutMillis, now, resume }) },
    register: (
      transactionalId: string,
      identity: ProducerIdentity,
      at: TopicPartition,
      now: number
    ): void => {
      const id = owned(transactionalId, identity, now)
      if (id !== null) register(id, now).partitions.add(toKey(at))
    },
    append: (
      transactionalId: string,
      identity: ProducerIdentity,
      batch: TopicPartition & { readonly records: ReadonlyArray<EncodedRecord> },
      sequence: number,
      now: number
    ): Answer<Appended> => {
      const id = owned(transactionalId, identity, now)
      if (id === null) return { code: codes.INVALID_PRODUCER_EPOCH }
      const log = world.logs.get(toKey(batch))
      if (log === undefined) return { code: codes.UNKNOWN_TOPIC_OR_PARTITION }
      register(id, now).partitions.add(toKey(batch))
      changed()
      return append(log, identity, batch.records, sequence)
    },
    addOffsets: (
      transactionalId: string,
      identity: ProducerIdentity,
      offsets: OffsetCommit,
      now: number,
      isFenced: boolean
    ): Answer<void> => {
      const id = owned(transactionalId, identity, now)
      if (id === null) return { code: codes.INVALID_PRODUCER_EPOCH }
      const refusal = world.groups.get(offsets.groupId)?.refusal(offsets.membership) ?? null
      if (isFenced && refusal !== null) return { code: refusal }
      register(id, now).offsets.push(offsets)
      return { value: undefined }
    },
    /** What the coordinator answers to EndTxn, in the states that a version 1 broker has. */
    end: (
      transactionalId: string,
      identity: ProducerIdentity,
      how: End,
      now: number
    ): Answer<void> => {
      const id = owned(transactionalId, identity, now)
      if (id === null) return { code: codes.PRODUCER_FENCED }
      if (id.ongoing !== null) {
        end(world, id, how)
        changed()
        return { value: undefined }
      }
      return id.last === how ? { value: undefined } : { code: codes.INVALID_TXN_STATE }
    },
    endMarker: (at: TopicPartition, offset: bigint, producerId: bigint): EndMarker => {
      const log = world.logs.get(toKey(at))
      if (log === undefined || offset < log.start) return "gone"
      const marker = log.entries.find((entry) =>
        entry._tag === "Marker" && entry.producerId === producerId && entry.offset > offset
      )
      return marker?._tag === "Marker" ? marker.end : "none yet"
    },
    ...consuming(world, changed),
    regressions: () => world.regressions,
    /** Tells readers to look again. */
    changed,
    nextChange: () => change,
    committedOffset: (groupId: string, at: TopicPartition): CommittedOffset =>
      world.committed.get(`${groupId}/${toKey(at)}`) ?? { ...at, offset: null, metadata: null },
    /** The broker's own abort of what is too old. */
    expire: (now: number) => {
      expire(world, now)
      changed()
    },
    /** Deletes everything that a log holds, as retention does. */
    trim: () => {
      for (const log of world.logs.values()) log.start = log.next
    },
    hasOpenTransaction: () => [...world.coordinated.values()].some((id) => id.ongoing !== null),
    identityOf: (transactionalId: string): ProducerIdentity | null => {
      const id = world.coordinated.get(transactionalId)
      return id === undefined ? null : { producerId: id.producerId, epoch: id.epoch }
    },
    /** The records that a reader under read_committed sees, by partition. */
    visible: () => [...world.logs.values()].flatMap(Log.visible),
    /** Every record in the log, whatever became of it, by partition. */
    written: () =>
      [...world.logs.values()].flatMap((log) =>
        log.entries.flatMap((entry) => entry._tag === "Batch" ? entry.records : [])
      ),
    batches: () =>
      [...world.logs.values()].flatMap((log) => log.entries.filter(({ _tag }) => _tag === "Batch"))
  }
}

/** What consumers ask a broker for. */
const consuming = (world: World, changed: () => void) => ({
  /** Whether an open transaction may still move a group's position. */
  isUnstable: (groupId: string, at: TopicPartition): boolean =>
    [...world.coordinated.values()].some(({ ongoing }) =>
      ongoing?.offsets.some((offsets) =>
        offsets.groupId === groupId && offsets.positions.some((own) => toKey(own) === toKey(at))
      )
    ),
  commitOffsets: (
    groupId: string,
    positions: ReadonlyArray<TopicPartition & { readonly offset: bigint }>
  ): void => {
    for (const { offset, partition, topic } of positions) {
      const key = `${groupId}/${toKey({ topic, partition })}`
      commitOffset(world, key, { topic, partition, offset, metadata: null })
    }
  },
  /** A group, which the first member of it makes. */
  group: (groupId: string, topics: ReadonlyArray<string> = []): GroupDouble.GroupDouble => {
    const known = world.groups.get(groupId)
    if (known !== undefined) return known
    const group = GroupDouble.make(() =>
      [...world.logs.values()].filter(({ topic }) => topics.includes(topic))
        .map(({ partition, topic }) => ({ topic, partition }))
    )
    world.groups.set(groupId, group)
    return group
  },
  /** Appends records outside of any transaction. */
  produce: (at: TopicPartition, records: ReadonlyArray<EncodedRecord>): void => {
    const log = world.logs.get(toKey(at))!
    const { next: offset } = log
    log.entries.push({
      _tag: "Batch",
      offset,
      producerId: Log.noProducer,
      epoch: -1,
      sequence: -1,
      records
    })
    log.next += BigInt(records.length)
    changed()
  },
  locate: (at: TopicPartition, to: StartAt): bigint => {
    const log = world.logs.get(toKey(at))!
    return to === "earliest" ? log.start : to === "latest" ? Log.lastStableOffset(log) : to
  },
  read: (
    at: TopicPartition,
    position: bigint,
    isolation: Isolation,
    records: number
  ): Log.Read | "out of range" =>
    Log.read(world.logs.get(toKey(at))!, position, isolation, records),
  watermarks: (at: TopicPartition) => {
    const log = world.logs.get(toKey(at))!
    return { highWatermark: log.next, lastStableOffset: Log.lastStableOffset(log) }
  }
})

const register = (id: Coordinated, now: number): Ongoing => {
  id.ongoing ??= { partitions: new Set(), offsets: [], since: now }
  return id.ongoing
}

const append = (
  log: Log.LogDouble,
  { producerId, epoch }: ProducerIdentity,
  records: ReadonlyArray<EncodedRecord>,
  sequence: number
): Answer<Appended> => {
  const own = log.entries.flatMap((entry) =>
    entry._tag === "Batch" && entry.producerId === producerId && entry.epoch === epoch
      ? [entry]
      : []
  )
  const same = own.find((batch) => batch.sequence === sequence)
  if (same !== undefined) return { value: { baseOffset: same.offset, logAppendTime: -1n } }
  const expected = own.reduce((sum, batch) => sum + batch.records.length, 0)
  if (sequence !== expected) return { code: codes.OUT_OF_ORDER_SEQUENCE_NUMBER }
  const offset = log.next
  log.entries.push({ _tag: "Batch", offset, producerId, epoch, sequence, records })
  log.next += BigInt(records.length)
  return { value: { baseOffset: offset, logAppendTime: -1n } }
}

const end = (world: World, id: Coordinated, how: End): void => {
  const { producerId, epoch, ongoing } = id
  if (ongoing === null) return
  for (const key of ongoing.partitions) {
    const log = world.logs.get(key)!
    log.entries.push({ _tag: "Marker", offset: log.next, producerId, epoch, end: how })
    log.next += 1n
  }
  if (how === "commit") {
    for (const { groupId, metadata, positions } of ongoing.offsets) {
      for (const { topic, partition, offset } of positions) {
        const key = `${groupId}/${toKey({ topic, partition })}`
        commitOffset(world, key, { topic, partition, offset, metadata })
      }
    }
  }
  id.ongoing = null
  id.last = how
}

const commitOffset = (world: World, key: string, to: CommittedOffset): void => {
  const from = world.committed.get(key)?.offset ?? null
  if (from !== null && to.offset !== null && to.offset < from) {
    world.regressions.push(`${key}: ${from} to ${to.offset}`)
  }
  world.committed.set(key, to)
}

const expire = (world: World, now: number): void => {
  for (const id of world.coordinated.values()) {
    if (id.ongoing === null || now - id.ongoing.since < id.timeoutMillis) continue
    end(world, id, "abort")
    id.epoch += 1
    id.last = null
  }
}
