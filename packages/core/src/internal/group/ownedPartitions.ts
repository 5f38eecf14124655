/**
 * The partitions that a member owns, and what was fetched of them and not taken yet.
 *
 * Everything here happens in one step each, and `signal` tells who waits. A fetch that is on its
 * way carries the `turn` of its partition; a seek begins another turn, so that what it answers
 * later is dropped.
 */
import * as Effect from "effect/Effect"
import type {
  ConsumerSessionOptions,
  FetchedBatch,
  FetchedRecord,
  Watermarks
} from "../../ConsumerDriver.ts"
import type { DriverError } from "../../DriverError.ts"
import type { GroupMembership } from "../../GroupOffsets.ts"
import * as TopicPartition from "../../TopicPartition.ts"
import * as Signal from "./signal.ts"

/** One partition that is to be fetched from an offset. */
export interface Wanted extends TopicPartition.TopicPartition {
  readonly offset: bigint
  readonly turn: number
}

/**
 * What was fetched, still encoded: records that wait would take several times the memory, and
 * outlive the garbage collections that cost the least.
 */
export interface Encoded {
  readonly position: bigint
  readonly nextOffset: bigint
  readonly count: number
  readonly bytes: number
  readonly records: Effect.Effect<ReadonlyArray<FetchedRecord>, DriverError>
}

export interface OwnedPartitions {
  readonly signal: Signal.Signal
  readonly all: () => ReadonlyArray<TopicPartition.TopicPartition>
  readonly adopt: (
    membership: GroupMembership,
    partitions: ReadonlyArray<TopicPartition.TopicPartition>
  ) => void
  /** What is owned is owned under this membership now. */
  readonly renew: (membership: GroupMembership) => void
  /** Fetches nothing more of these partitions. */
  readonly hold: (partitions: ReadonlyArray<TopicPartition.TopicPartition>) => void
  /** Forgets these partitions. */
  readonly disown: (partitions: ReadonlyArray<TopicPartition.TopicPartition>) => void
  /** Fails where the next batch cannot be decoded, each time. */
  readonly take: (
    topicPartition: TopicPartition.TopicPartition
  ) => Effect.Effect<FetchedBatch, DriverError>
  readonly startAt: (topicPartition: TopicPartition.TopicPartition, offset: bigint) => void
  /** Waits for a seek: what was fetched is dropped. */
  readonly stop: (topicPartition: TopicPartition.TopicPartition) => void
  readonly pause: (partitions: ReadonlyArray<TopicPartition.TopicPartition>) => void
  readonly resume: (partitions: ReadonlyArray<TopicPartition.TopicPartition>) => void
  readonly watermarks: (topicPartition: TopicPartition.TopicPartition) => Watermarks | null
  /** Those that `from` lets through and that there is room for; each is then on its way. */
  readonly startFetch: (
    from: (topicPartition: TopicPartition.TopicPartition) => boolean
  ) => ReadonlyArray<Wanted>
  readonly endFetch: (wanted: ReadonlyArray<Wanted>) => void
  /** Keeps a batch, unless its partition was sought or lost meanwhile. */
  readonly store: (wanted: Wanted, batch: Encoded) => void
  readonly isCurrent: (wanted: Wanted) => boolean
  readonly note: (topicPartition: TopicPartition.TopicPartition, watermarks: Watermarks) => void
}

interface Slot {
  readonly topicPartition: TopicPartition.TopicPartition
  membership: GroupMembership
  /** The offset that the next fetch starts at, `null` before the first seek. */
  position: bigint | null
  turn: number
  fetched: Array<Encoded>
  paused: boolean
  held: boolean
  onItsWay: boolean
  watermarks: Watermarks | null
}

export const make = (options: ConsumerSessionOptions): OwnedPartitions => {
  const signal = Signal.make()
  const slots = new Map<string, Slot>()
  let records = 0
  let bytes = 0
  // Turns are never used twice, not even by a partition that is lost and owned again.
  let lastTurn = 0

  const slotOf = (topicPartition: TopicPartition.TopicPartition): Slot | undefined =>
    slots.get(TopicPartition.toKey(topicPartition))

  const count = (batch: Encoded, sign: 1 | -1): void => {
    records += sign * batch.count
    bytes += sign * batch.bytes
  }

  const drop = (slot: Slot): void => {
    for (const batch of slot.fetched) count(batch, -1)
    slot.fetched = []
    lastTurn += 1
    slot.turn = lastTurn
  }

  const hasRoom = (): boolean =>
    records < options.maxPrefetchRecords && bytes < options.maxPrefetchBytes

  const isWanted = (slot: Slot): slot is Slot & { position: bigint } =>
    slot.position !== null && !slot.paused && !slot.held && !slot.onItsWay &&
    // Each partition may hold one fetch, so that a slow one never keeps the others waiting.
    (slot.fetched.length === 0 || hasRoom())

  const change = (
    topicPartitions: ReadonlyArray<TopicPartition.TopicPartition>,
    how: (slot: Slot) => void
  ): void => {
    for (const topicPartition of topicPartitions) {
      const slot = slotOf(topicPartition)
      if (slot !== undefined) how(slot)
    }
    signal.changed()
  }

  const take = (
    topicPartition: TopicPartition.TopicPartition
  ): Effect.Effect<FetchedBatch, DriverError> =>
    signal.until(() => slotOf(topicPartition)?.fetched[0]).pipe(
      Effect.flatMap((batch) =>
        Effect.flatMap(batch.records, (decoded) => {
          const slot = slotOf(topicPartition)
          // Sought or lost while it was decompressed.
          if (slot === undefined || slot.fetched[0] !== batch) return take(topicPartition)
          // Only now: who is interrupted before has taken nothing.
          slot.fetched.shift()
          count(batch, -1)
          // There is room again.
          signal.changed()
          return Effect.succeed(decodedBatch(slot, batch, decoded))
        })
      )
    )

  return {
    signal,
    all: () => Array.from(slots.values(), ({ topicPartition }) => topicPartition),
    adopt: (membership, partitions) => {
      for (const topicPartition of partitions) {
        lastTurn += 1
        slots.set(TopicPartition.toKey(topicPartition), {
          topicPartition,
          membership,
          position: null,
          turn: lastTurn,
          fetched: [],
          paused: false,
          held: false,
          onItsWay: false,
          watermarks: null
        })
      }
      signal.changed()
    },
    renew: (membership) => {
      for (const slot of slots.values()) slot.membership = membership
    },
    hold: (partitions) =>
      change(partitions, (slot) => {
        slot.held = true
      }),
    disown: (partitions) =>
      change(partitions, (slot) => {
        drop(slot)
        slots.delete(TopicPartition.toKey(slot.topicPartition))
      }),
    take,
    startAt: (topicPartition, offset) =>
      change([topicPartition], (slot) => {
        drop(slot)
        slot.position = offset
      }),
    stop: (topicPartition) =>
      change([topicPartition], (slot) => {
        drop(slot)
        slot.position = null
      }),
    pause: (partitions) =>
      change(partitions, (slot) => {
        slot.paused = true
        // Fetched again after `resume`, so that what nobody takes needs no room.
        slot.position = slot.fetched[0]?.position ?? slot.position
        drop(slot)
      }),
    resume: (partitions) =>
      change(partitions, (slot) => {
        slot.paused = false
      }),
    watermarks: (topicPartition) => slotOf(topicPartition)?.watermarks ?? null,
    startFetch: (from) => {
      const wanted: Array<Wanted> = []
      for (const slot of slots.values()) {
        if (!isWanted(slot) || !from(slot.topicPartition)) continue
        slot.onItsWay = true
        wanted.push({ ...slot.topicPartition, offset: slot.position, turn: slot.turn })
      }
      return wanted
    },
    endFetch: (wanted) =>
      change(wanted, (slot) => {
        slot.onItsWay = false
      }),
    store: (wanted, batch) => {
      const slot = slotOf(wanted)
      if (slot === undefined || slot.turn !== wanted.turn) return
      slot.fetched.push(batch)
      slot.position = batch.nextOffset
      count(batch, 1)
    },
    isCurrent: (wanted) => slotOf(wanted)?.turn === wanted.turn,
    note: (topicPartition, watermarks) => {
      const slot = slotOf(topicPartition)
      if (slot !== undefined) slot.watermarks = watermarks
    }
  }
}

const decodedBatch = (
  { membership, topicPartition: { partition, topic } }: Slot,
  { nextOffset, position }: Encoded,
  decoded: ReadonlyArray<FetchedRecord>
): FetchedBatch => {
  // A batch of the log is answered whole, even where only its end was asked for.
  const first = decoded[0]
  const records = first === undefined || first.offset >= position
    ? decoded
    : decoded.filter(({ offset }) => offset >= position)
  let bytes = 0
  for (const record of records) bytes += bytesOf(record)
  return { topic, partition, membership, position, nextOffset, records, bytes }
}

const bytesOf = ({ headers, key, value }: FetchedRecord): number => {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, content] of headers) bytes += name.length + (content?.length ?? 0)
  return bytes
}
