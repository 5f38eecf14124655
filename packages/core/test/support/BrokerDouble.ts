/**
 * A Kafka cluster in memory: transactional ids with epochs, logs with end markers, group offsets.
 *
 * It follows `TransactionCoordinator` and `ProducerStateManager` of Kafka 4.x as far as
 * transactions of protocol version 1 need it, and does each thing at once: what is asynchronous in
 * a broker is scripted by the driver double.
 */
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

type Entry =
  | {
    readonly _tag: "Batch"
    readonly offset: bigint
    readonly producerId: bigint
    readonly epoch: number
    readonly sequence: number
    readonly records: ReadonlyArray<EncodedRecord>
  }
  | {
    readonly _tag: "Marker"
    readonly offset: bigint
    readonly producerId: bigint
    readonly epoch: number
    readonly end: End
  }

interface Log {
  readonly topic: string
  readonly partition: number
  readonly entries: Array<Entry>
  start: bigint
  next: bigint
}

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
}

export const codes = {
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  PRODUCER_FENCED: 90
} as const

/** An answer: what was done, or the code of the refusal. */
export type Answer<A> = { readonly value: A } | { readonly code: number }

export type BrokerDouble = ReturnType<typeof make>

interface World {
  readonly logs: Map<string, Log>
  readonly coordinated: Map<string, Coordinated>
  readonly committed: Map<string, CommittedOffset>
}

export const make = (topics: { readonly [topic: string]: number }) => {
  const world: World = { logs: new Map(), coordinated: new Map(), committed: new Map() }
  let nextProducerId = 1_000n
  const createTopic = (topic: string, count: number) => {
    for (let partition = 0; partition < count; partition++) {
      const log = { topic, partition, entries: [], start: 0n, next: 0n }
      world.logs.set(toKey({ topic, partition }), log)
    }
  }
  for (const [topic, count] of Object.entries(topics)) createTopic(topic, count)

  const owned = (transactionalId: string, identity: ProducerIdentity, now: number) => {
    expire(world, now)
    const id = world.coordinated.get(transactionalId)
    return id?.producerId === identity.producerId && id.epoch === identity.epoch ? id : null
  }

  return {
    createTopic,
    partitionCount: (topic: string): Answer<number> => {
      const count = [...world.logs.values()].filter((log) => log.topic === topic).length
      return count === 0 ? { code: codes.UNKNOWN_TOPIC_OR_PARTITION } : { value: count }
    },
    initialize: (transactionalId: string, timeoutMillis: number, now: number): ProducerIdentity => {
      expire(world, now)
      const known = world.coordinated.get(transactionalId)
      if (known !== undefined && known.ongoing !== null) end(world, known, "abort")
      const producerId = known?.producerId ?? nextProducerId++
      const epoch = known === undefined ? 0 : known.epoch + 1
      const id = { timeoutMillis, producerId, epoch, ongoing: null, last: null }
      world.coordinated.set(transactionalId, id)
      return { producerId, epoch }
    },
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
      return append(log, identity, batch.records, sequence)
    },
    addOffsets: (
      transactionalId: string,
      identity: ProducerIdentity,
      offsets: OffsetCommit,
      now: number
    ): Answer<void> => {
      const id = owned(transactionalId, identity, now)
      if (id === null) return { code: codes.INVALID_PRODUCER_EPOCH }
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
    committedOffset: (groupId: string, at: TopicPartition): CommittedOffset =>
      world.committed.get(`${groupId}/${toKey(at)}`) ?? { ...at, offset: null, metadata: null },
    /** The broker's own abort of what is too old. */
    expire: (now: number) => expire(world, now),
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
    visible: () => [...world.logs.values()].flatMap(visibleIn),
    /** Every record in the log, whatever became of it, by partition. */
    written: () =>
      [...world.logs.values()].flatMap((log) =>
        log.entries.flatMap((entry) => entry._tag === "Batch" ? entry.records : [])
      ),
    batches: () =>
      [...world.logs.values()].flatMap((log) => log.entries.filter(({ _tag }) => _tag === "Batch"))
  }
}

const register = (id: Coordinated, now: number): Ongoing => {
  id.ongoing ??= { partitions: new Set(), offsets: [], since: now }
  return id.ongoing
}

const append = (
  log: Log,
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
        world.committed.set(key, { topic, partition, offset, metadata })
      }
    }
  }
  id.ongoing = null
  id.last = how
}

const expire = (world: World, now: number): void => {
  for (const id of world.coordinated.values()) {
    if (id.ongoing === null || now - id.ongoing.since < id.timeoutMillis) continue
    end(world, id, "abort")
    id.epoch += 1
    id.last = null
  }
}

/** A record with the place where it is. */
export interface VisibleRecord extends TopicPartition {
  readonly offset: bigint
  readonly record: EncodedRecord
}

const visibleIn = (log: Log): ReadonlyArray<VisibleRecord> => {
  const { topic, partition } = log
  const visible: Array<VisibleRecord> = []
  for (const [index, entry] of log.entries.entries()) {
    if (entry._tag === "Marker") continue
    const marker = log.entries.slice(index).find((later) =>
      later._tag === "Marker" && later.producerId === entry.producerId
    )
    // The last stable offset: nothing behind an open transaction is shown.
    if (marker === undefined) break
    if (marker._tag !== "Marker" || marker.end === "abort") continue
    entry.records.forEach((record, i) =>
      visible.push({ topic, partition, offset: entry.offset + BigInt(i), record })
    )
  }
  return visible
}
