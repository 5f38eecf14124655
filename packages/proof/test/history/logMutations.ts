/** What may be wrong in the logs: S1-S3, S5, S8-S13, V1. */
import {
  appendTo,
  isAborted,
  isCommitted,
  pickFrom,
  pickTransaction,
  pickVisible,
  type Place,
  placesIn,
  remove,
  type Transaction
} from "./lookup.ts"
import { type Mutation, mutation } from "./mutation.ts"
import type { World, WorldBatch } from "./world.ts"

const drop = ({ batch, record }: Place): void => remove(batch.records, record)

const flip = (marker: WorldBatch): void => {
  marker.control = marker.control === "commit" ? "abort" : "commit"
}

const onSeveral = ({ markers }: Transaction): boolean => markers.length > 1

/** Whether all markers of a transaction are its own, and of its end alone. */
const withMarkers = ({ markers }: Transaction): boolean => markers.length > 0

const lost: ReadonlyArray<Mutation> = [
  mutation("S1", "a committed record is dropped", (world) => {
    const place = pickVisible(world)
    if (place === undefined) return false
    drop(place)
    return true
  }),
  mutation("S1", "all records of a committed transaction are dropped", (world) => {
    const chosen = pickTransaction(world, isCommitted)
    chosen?.places.forEach(drop)
    return chosen !== undefined
  }),
  mutation("S1", "a commit is written as an abort", (world) => {
    const chosen = pickTransaction(world, (at) => isCommitted(at) && withMarkers(at))
    chosen?.markers.forEach(({ marker }) => flip(marker))
    return chosen !== undefined
  }),
  mutation(
    "S1",
    "a commit marker is missing, and the next abort decides",
    (world) => withoutMarker(world, isCommitted, "abort")
  )
]

const shown: ReadonlyArray<Mutation> = [
  mutation("S2", "an abort is written as a commit", (world) => {
    const chosen = pickTransaction(world, (at) => isAborted(at) && withMarkers(at))
    chosen?.markers.forEach(({ marker }) => {
      marker.control = "commit"
    })
    return chosen !== undefined
  }),
  mutation(
    "S2",
    "an abort marker is missing, and the next commit decides",
    (world) => withoutMarker(world, isAborted, "commit")
  ),
  mutation("S2", "an aborted record is written again by a committed transaction", (world) => {
    const chosen = pickTransaction(world, isAborted)
    const other = pickVisible(world)
    if (chosen === undefined || other === undefined) return false
    other.record.stamp = { ...chosen.places[0]!.record.stamp }
    return true
  }),
  mutation("S3", "one of a commit's markers is an abort", (world) => {
    const chosen = pickTransaction(world, (at) => isCommitted(at) && onSeveral(at))
    if (chosen !== undefined) flip(chosen.markers[0]!.marker)
    return chosen !== undefined
  }),
  mutation("S3", "one of an abort's markers is a commit", (world) => {
    const chosen = pickTransaction(world, (at) => isAborted(at) && onSeveral(at))
    if (chosen !== undefined) flip(chosen.markers[0]!.marker)
    return chosen !== undefined
  }),
  mutation("S3", "one record of several is dropped", (world) => {
    const chosen = pickTransaction(world, (at) => isCommitted(at) && at.places.length > 1)
    if (chosen !== undefined) drop(world.random.pick(chosen.places))
    return chosen !== undefined
  })
]

/** Takes a transaction's marker away where the producer's next one in the partition is `next`. */
const withoutMarker = (
  world: World,
  fits: (transaction: Transaction) => boolean,
  next: "commit" | "abort" | null
): boolean => {
  const chosen = pickTransaction(world, (at) => fits(at) && markerBefore(at, next) !== undefined)
  if (chosen === undefined) return false
  const { marker, partition } = markerBefore(chosen, next)!
  remove(partition.batches, marker)
  return true
}

const markerBefore = ({ markers }: Transaction, next: "commit" | "abort" | null) =>
  markers.find(({ marker, partition }) => {
    const later = partition.batches.slice(partition.batches.indexOf(marker) + 1)
    const own = later.filter(({ producerId }) => producerId === marker.producerId)
    // Records of another transaction must come first, or the marker would only be late.
    const follows = own[0]?.control === null
    return next === null
      ? own.length === 0
      : follows && own.find(({ control }) => control !== null)?.control === next
  })

const doubled: ReadonlyArray<Mutation> = [
  mutation("S5", "a committed batch is appended again", (world) => {
    const place = pickVisible(world)
    if (place === undefined) return false
    const { batch, partition } = place
    appendTo(partition, batch, batch.records.map(({ stamp }) => stamp))
    appendTo(partition, { ...batch, control: "commit" })
    return true
  }),
  mutation("S5", "a committed record is in another partition, too", (world) => {
    const place = pickVisible(world, "out")
    const other = world.partitions.find((at) => at.topic === "out" && at !== place?.partition)
    if (place === undefined || other === undefined) return false
    appendTo(other, { ...place.batch, producerId: 9_999 }, [place.record.stamp])
    appendTo(other, { ...place.batch, producerId: 9_999, control: "commit" })
    return true
  }),
  mutation(
    "S8",
    "the marker between two transactions is missing",
    (world) => withoutMarker(world, ({ places }) => places.length > 0, "commit")
  ),
  mutation("S8", "a marker is before the last records of its transaction", (world) => {
    const chosen = pickTransaction(world, (at) => beforeItsMarker(at) !== undefined)
    if (chosen === undefined) return false
    const { batch, marker, partition } = beforeItsMarker(chosen)!
    const at = partition.batches.indexOf(batch)
    partition.batches.splice(at, 2, marker, batch)
    marker.baseOffset = batch.baseOffset
    batch.baseOffset += 1
    for (const record of batch.records) record.offset += 1
    return true
  }),
  mutation(
    "S8",
    "an abort marker is missing, and another abort decides",
    (world) => withoutMarker(world, ({ places }) => places.length > 0, "abort")
  )
]

/** A batch with its marker right behind it, and the next transaction of the producer after that. */
const beforeItsMarker = ({ places }: Transaction) => {
  for (const { batch, partition } of places) {
    const at = partition.batches.indexOf(batch)
    const [marker, ...later] = partition.batches.slice(at + 1)
    if (marker === undefined || marker.control === null) continue
    if (marker.producerId !== batch.producerId || marker.epoch !== batch.epoch) continue
    const next = later.find(({ producerId }) => producerId === batch.producerId)
    if (next?.control === null) return { batch, marker, partition }
  }
  return undefined
}

const swap = (one: Place, other: Place): void => {
  const { stamp } = one.record
  one.record.stamp = other.record.stamp
  other.record.stamp = stamp
}

const disordered: ReadonlyArray<Mutation> = [
  mutation("S9", "two records of a transaction change places", (world) => {
    const chosen = pickTransaction(world, ({ places }) => neighbours(places) !== undefined)
    if (chosen === undefined) return false
    const [one, other] = neighbours(chosen.places)!
    swap(one, other)
    return true
  }),
  mutation("S9", "two transactions of a session change places", (world) => {
    const places = placesIn(world)
    const pair = pickFrom(
      world,
      places.flatMap((one) => {
        const other = places.find((at) =>
          at.partition === one.partition && at.record.offset > one.record.offset &&
          at.record.stamp.session === one.record.stamp.session &&
          at.record.stamp.process === one.record.stamp.process &&
          at.record.stamp.transaction !== one.record.stamp.transaction
        )
        return other === undefined ? [] : [[one, other] as const]
      })
    )
    if (pair === undefined) return false
    swap(pair[0], pair[1])
    return true
  }),
  mutation("S10", "a byte of a value is changed", (world) => {
    const place = pickFrom(world, placesIn(world))
    if (place === undefined) return false
    const bytes = Buffer.from("4b4f3100".padEnd(64, "5"), "hex")
    bytes[world.random.int(4, 31)]! ^= 0xff
    place.record.bytes = bytes
    return true
  }),
  mutation("S10", "a value is no record of the run's", (world) => {
    const place = pickFrom(world, placesIn(world))
    if (place !== undefined) place.record.bytes = Buffer.from("somebody else's")
    return place !== undefined
  }),
  mutation("S10", "a record of another run is in the log", (world) => {
    const place = pickFrom(world, placesIn(world))
    if (place !== undefined) place.record.stamp.run += 1
    return place !== undefined
  }),
  mutation("S10", "a record is in the log that nobody sent", (world) => {
    const place = pickFrom(world, placesIn(world))
    if (place !== undefined) place.record.stamp.transaction += 100_000
    return place !== undefined
  })
]

const neighbours = (places: ReadonlyArray<Place>): readonly [Place, Place] | undefined => {
  for (const one of places) {
    const other = places.find((at) =>
      at.partition === one.partition && at.record.offset > one.record.offset
    )
    if (other !== undefined) return [one, other]
  }
  return undefined
}

const data = (world: World): ReadonlyArray<Place> => placesIn(world)

/** A batch that is followed by a newer epoch of its producer in the partition. */
const fenced = (world: World): Place | undefined =>
  pickFrom(
    world,
    data(world).filter(({ batch, partition }) =>
      partition.batches.some((later) =>
        later.producerId === batch.producerId && later.epoch > batch.epoch &&
        later.baseOffset > batch.baseOffset
      )
    )
  )

const producers: ReadonlyArray<Mutation> = [
  mutation("S11", "a batch skips a sequence", (world) => {
    const place = pickFrom(world, data(world))
    if (place !== undefined) place.batch.sequence += 1
    return place !== undefined
  }),
  mutation("S11", "a batch has the sequence of the one before", (world) => {
    const place = pickFrom(world, data(world).filter(({ batch }) => batch.sequence > 0))
    if (place !== undefined) place.batch.sequence = 0
    return place !== undefined
  }),
  mutation("S11", "a batch in the middle is gone", (world) => {
    const place = pickFrom(
      world,
      data(world).filter(({ batch, partition }) =>
        partition.batches.some((later) =>
          later.control === null && later.producerId === batch.producerId &&
          later.epoch === batch.epoch && later.sequence > batch.sequence
        )
      )
    )
    if (place === undefined) return false
    remove(place.partition.batches, place.batch)
    return true
  }),
  mutation("S12", "a fenced session writes again", (world) => {
    const place = fenced(world)
    if (place === undefined) return false
    const sequence = place.batch.sequence + place.batch.records.length
    appendTo(place.partition, { ...place.batch, sequence }, [place.record.stamp])
    return true
  }),
  mutation("S12", "a fenced session commits", (world) => {
    const place = fenced(world)
    if (place === undefined) return false
    appendTo(place.partition, { ...place.batch, control: "commit" })
    return true
  }),
  mutation("S12", "the epoch of a marker goes back", (world) => {
    const marker = pickFrom(
      world,
      world.partitions.flatMap(({ batches }) =>
        batches.filter(({ control, epoch, producerId }, at) =>
          control === "commit" && epoch > 0 &&
          batches.slice(0, at).some((before) =>
            before.producerId === producerId && before.epoch === epoch
          )
        )
      )
    )
    if (marker !== undefined) marker.epoch -= 1
    return marker !== undefined
  }),
  mutation("S12", "a fenced session's request is accepted on the wire", (world) => {
    const [init] = world.wire.filter(({ answer, api }) =>
      api === "InitProducerId" && (answer?.producerEpoch ?? 0) > 0
    )
    const old = world.wire.find(({ api, producerId, producerEpoch }) =>
      api === "Produce" && producerId === init?.answer?.producerId &&
      producerEpoch! < (init?.answer?.producerEpoch ?? 0)
    )
    if (init === undefined || old === undefined) return false
    old.forwardedMillis = init.answer!.timeMillis + 20
    old.answer = { ...init.answer!, timeMillis: old.forwardedMillis + 1, producerId: null }
    return true
  }),
  mutation("S13", "a commit is decided as an abort elsewhere", (world) => {
    const chosen = pickTransaction(world, (at) => isCommitted(at) && onSeveral(at))
    if (chosen !== undefined) flip(chosen.markers.at(-1)!.marker)
    return chosen !== undefined
  }),
  mutation("S13", "an abort is decided as a commit elsewhere", (world) => {
    const chosen = pickTransaction(world, (at) => isAborted(at) && onSeveral(at))
    if (chosen !== undefined) flip(chosen.markers.at(-1)!.marker)
    return chosen !== undefined
  })
]

const hanging: ReadonlyArray<Mutation> = [
  mutation(
    "V1",
    "the last marker of a producer is missing",
    (world) => withoutMarker(world, ({ places }) => places.length > 0, null)
  ),
  mutation("V1", "the last stable offset stays behind", (world) => {
    const partition = pickFrom(world, world.partitions.filter(({ end }) => end > 1))
    if (partition !== undefined) partition.stable = partition.end - 1
    return partition !== undefined
  }),
  mutation("V1", "a coordinator still has a transaction", (world) => {
    const row = world.random.pick(world.transactions)
    row.state = world.random.pick(["Ongoing", "PrepareCommit", "PrepareAbort"])
    return true
  }),
  mutation("V1", "a leader has a transaction open that no coordinator knows", (world) => {
    const partition = pickFrom(world, world.partitions.filter(({ end }) => end > 0))
    if (partition === undefined) return false
    world.producers.push({
      topic: partition.topic,
      partition: partition.partition,
      producerId: 100n,
      producerEpoch: 0,
      lastSequence: 3,
      openSince: BigInt(partition.end - 1)
    })
    return true
  })
]

export const logMutations: ReadonlyArray<Mutation> = [
  ...lost,
  ...shown,
  ...doubled,
  ...disordered,
  ...producers,
  ...hanging
]
