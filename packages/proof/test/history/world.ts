/**
 * A run as plain, mutable data: what programs were told, what is in the logs, and what went over
 * the wire; with just enough of Kafka to write it.
 */
import type { Entry } from "@kafka-once/testing/FaultProxyWireLog"
import * as FinalState from "../../src/FinalState.ts"
import type { Event } from "../../src/History.ts"
import * as Random from "../../src/internal/random.ts"
import * as RecordStamp from "../../src/RecordStamp.ts"

export type Mutable<A> = A extends object ? { -readonly [Key in keyof A]: Mutable<A[Key]> } : A

export interface WorldRecord {
  offset: number
  stamp: Mutable<RecordStamp.RecordStamp>
  /** What the log holds in place of the stamp's own bytes. */
  bytes?: Uint8Array
}

export interface WorldBatch {
  baseOffset: number
  producerId: number
  epoch: number
  sequence: number
  control: "commit" | "abort" | null
  records: Array<WorldRecord>
}

export interface WorldPartition {
  readonly topic: string
  readonly partition: number
  batches: Array<WorldBatch>
  end: number
  stable: number | null
}

export type WorldEvent = Mutable<Event>
export type WorldEntry = Mutable<Entry>

export interface World {
  readonly seed: number
  readonly run: number
  readonly random: Random.Random
  events: Array<WorldEvent>
  wire: Array<WorldEntry>
  readonly partitions: Array<WorldPartition>
  readonly groups: Array<{ group: string; topic: string; partition: number; offset: number }>
  readonly transactions: Array<
    { transactionalId: string; producerId: bigint; state: string }
  >
  readonly producers: Array<Mutable<FinalState.FinalState["producers"][number]>>
  readonly aggregates: Array<{ name: string; expected: number; actual: number }>
  now: number
}

/** The wall clock when the monotonic one is 0. */
export const wallOrigin = 1_700_000_000_000

export const make = (seed: number): World => ({
  seed,
  run: 77,
  random: Random.make(seed),
  events: [],
  wire: [],
  partitions: [],
  groups: [],
  transactions: [],
  producers: [],
  aggregates: [{ name: "the sum of all accounts", expected: 0, actual: 0 }],
  now: 1e12
})

/** A moment later. */
export const tick = (world: World, millis = 1): number => {
  world.now += Math.ceil((0.05 + world.random.next() * millis) * 1e6)
  return world.now
}

type Untimed<A> = A extends { t: number } ? Omit<A, "t"> : never

export const tell = (world: World, event: Untimed<WorldEvent>): void => {
  world.events.push({ ...event, t: tick(world) } as WorldEvent)
}

export const partitionAt = (world: World, topic: string, partition: number): WorldPartition => {
  const known = world.partitions.find((at) => at.topic === topic && at.partition === partition)
  if (known !== undefined) return known
  const fresh = { topic, partition, batches: [], end: 0, stable: null }
  world.partitions.push(fresh)
  return fresh
}

type Decision = "commit" | "abort" | "open"

/** How each batch of data counts now: by the next marker of its producer. */
export const decisionsOf = ({ batches }: WorldPartition): ReadonlyMap<WorldBatch, Decision> => {
  const next = new Map<number, "commit" | "abort">()
  const decisions = new Map<WorldBatch, Decision>()
  for (const batch of batches.toReversed()) {
    if (batch.control === null) decisions.set(batch, next.get(batch.producerId) ?? "open")
    else next.set(batch.producerId, batch.control)
  }
  return decisions
}

export const stableOffset = (partition: WorldPartition): number => {
  const decisions = decisionsOf(partition)
  const first = partition.batches.find((batch) => decisions.get(batch) === "open")
  return partition.stable ?? first?.baseOffset ?? partition.end
}

/** The records that a reader under read_committed is given now. */
export const visibleIn = (partition: WorldPartition): ReadonlyArray<WorldRecord> => {
  const stable = stableOffset(partition)
  const decisions = decisionsOf(partition)
  return partition.batches
    .filter((batch) => decisions.get(batch) === "commit")
    .flatMap(({ records }) => records)
    .filter(({ offset }) => offset < stable)
}

/** The final state that a reader of the logs would make of the world. */
export const stateOf = (world: World): FinalState.FinalState => ({
  run: world.run,
  partitions: world.partitions.map((partition) => {
    const state = FinalState.emptyPartition(partition.topic, partition.partition)
    state.highWatermark = partition.end
    state.lastStableOffset = stableOffset(partition)
    for (const batch of partition.batches) FinalState.append(state, batchOf(batch))
    return state
  }),
  groups: world.groups,
  transactions: world.transactions,
  producers: world.producers,
  aggregates: world.aggregates
})

const batchOf = (batch: WorldBatch): FinalState.Batch => ({
  baseOffset: BigInt(batch.baseOffset),
  control: batch.control,
  coordinatorEpoch: batch.control === null ? null : 0,
  crc: 0,
  isTransactional: true,
  producerEpoch: batch.epoch,
  producerId: BigInt(batch.producerId),
  baseSequence: batch.control === null ? batch.sequence : -1,
  records: batch.control === null
    ? batch.records.map(({ bytes, offset, stamp }) => ({
      offset: BigInt(offset),
      value: bytes ?? RecordStamp.encode(stamp)
    }))
    : []
})

export type WireFacts = Pick<WorldEntry, "api"> & Partial<WorldEntry>

/** A request and its answer on the wire. */
export const request = (world: World, facts: WireFacts): WorldEntry => {
  const millis = () => wallOrigin + tick(world) / 1e6
  const timeMillis = millis()
  const entry: WorldEntry = {
    position: world.wire.length,
    timeMillis,
    connection: 1,
    clientId: "client",
    version: 1,
    correlationId: world.wire.length,
    transactionalId: null,
    producerId: null,
    producerEpoch: null,
    commit: null,
    rule: null,
    action: null,
    forwardedMillis: timeMillis,
    answer: {
      timeMillis: millis(),
      errorCode: 0,
      producerId: null,
      producerEpoch: null,
      delivered: true,
      synthetic: false
    },
    ...facts
  }
  world.wire.push(entry)
  return entry
}
