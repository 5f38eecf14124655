/** Where a mutation finds what it breaks. All choices come from the world's own seed. */
import { decisionsOf, type World, type WorldBatch, type WorldEvent } from "./world.ts"
import type { WorldPartition, WorldRecord } from "./world.ts"

export type EventOf<Tag extends WorldEvent["_tag"]> = Extract<WorldEvent, { _tag: Tag }>

export interface Place {
  readonly partition: WorldPartition
  readonly batch: WorldBatch
  readonly record: WorldRecord
}

/** One transaction: its begin, how it ended, and where its records and markers are. */
export interface Transaction {
  readonly begin: EventOf<"begin">
  readonly outcome: "Committed" | "Aborted" | "Unknown" | null
  readonly places: ReadonlyArray<Place>
  readonly markers: ReadonlyArray<
    { readonly partition: WorldPartition; readonly marker: WorldBatch }
  >
}

export const eventsOf = <Tag extends WorldEvent["_tag"]>(
  world: World,
  tag: Tag
): ReadonlyArray<EventOf<Tag>> =>
  world.events.filter((event): event is EventOf<Tag> => event._tag === tag)

export const isOf = (
  event: WorldEvent,
  { process, transaction }: { readonly process: number; readonly transaction: number }
): boolean =>
  event.process === process && "transaction" in event && event.transaction === transaction

const markerAfter = (partition: WorldPartition, batch: WorldBatch): WorldBatch | undefined =>
  partition.batches.slice(partition.batches.indexOf(batch)).find(({ control, producerId }) =>
    control !== null && producerId === batch.producerId
  )

export const placesIn = (world: World, topic?: string): ReadonlyArray<Place> =>
  world.partitions
    .filter((partition) => topic === undefined || partition.topic === topic)
    .flatMap((partition) =>
      partition.batches.flatMap((batch) =>
        batch.records.map((record) => ({ partition, batch, record }))
      )
    )

export const transactionsOf = (world: World): ReadonlyArray<Transaction> => {
  const places = new Map<string, Array<Place>>()
  for (const place of placesIn(world)) {
    const { process, transaction } = place.record.stamp
    const key = `${process}/${transaction}`
    places.set(key, [...places.get(key) ?? [], place])
  }
  const outcomes = new Map<string, Transaction["outcome"]>()
  for (const event of eventsOf(world, "result")) {
    outcomes.set(`${event.process}/${event.transaction}`, event.outcome)
  }
  return eventsOf(world, "begin").map((begin) => {
    const key = `${begin.process}/${begin.transaction}`
    const own = places.get(key) ?? []
    const markers = [...new Set(own.map(({ batch }) => batch))].flatMap((batch) => {
      const { partition } = own.find((place) => place.batch === batch)!
      const marker = markerAfter(partition, batch)
      return marker === undefined ? [] : [{ partition, marker }]
    })
    const unique = markers.filter(({ marker }, at) =>
      markers.findIndex((other) => other.marker === marker) === at
    )
    return { begin, outcome: outcomes.get(key) ?? null, places: own, markers: unique }
  })
}

/** A transaction that fits, or `undefined` where the world has none. */
export const pickTransaction = (
  world: World,
  fits: (transaction: Transaction) => boolean
): Transaction | undefined => {
  const fitting = transactionsOf(world).filter(fits)
  return fitting.length === 0 ? undefined : world.random.pick(fitting)
}

export const isCommitted = ({ outcome, places }: Transaction): boolean =>
  outcome === "Committed" && places.length > 0

export const isAborted = ({ outcome, places }: Transaction): boolean =>
  outcome === "Aborted" && places.length > 0

/** A record that readers see. */
export const pickVisible = (world: World, topic?: string): Place | undefined => {
  const decisions = new Map(
    world.partitions.map((partition) => [partition, decisionsOf(partition)])
  )
  const visible = placesIn(world, topic).filter(({ batch, partition }) =>
    decisions.get(partition)?.get(batch) === "commit"
  )
  return visible.length === 0 ? undefined : world.random.pick(visible)
}

export const pickFrom = <A>(world: World, values: ReadonlyArray<A>): A | undefined =>
  values.length === 0 ? undefined : world.random.pick(values)

export const remove = <A>(values: Array<A>, value: A): void => {
  const at = values.indexOf(value)
  if (at >= 0) values.splice(at, 1)
}

/** Writes a batch at the end of a partition. */
export const appendTo = (
  partition: WorldPartition,
  batch: Omit<WorldBatch, "baseOffset" | "records">,
  stamps: ReadonlyArray<WorldRecord["stamp"]> = []
): WorldBatch => {
  const added = {
    ...batch,
    baseOffset: partition.end,
    records: stamps.map((stamp, at) => ({ offset: partition.end + at, stamp: { ...stamp } }))
  }
  partition.batches.push(added)
  partition.end += Math.max(1, stamps.length)
  return added
}
