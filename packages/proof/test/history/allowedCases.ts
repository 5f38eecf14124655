/** Where a valid world has what looks like an anomaly and is none. */
import { eventsOf, isOf, type Place, placesIn, type Transaction, transactionsOf } from "./lookup.ts"
import { visibleIn, type World } from "./world.ts"

const nameOf = ({ process, transaction }: Place["record"]["stamp"]): string =>
  `${process}/${transaction}`

/** The pairs of transactions that follow each other in a partition, as "one other". */
const orders = (world: World): ReadonlyArray<ReadonlySet<string>> =>
  world.partitions.map(({ batches }) => {
    const names = batches.flatMap(({ records }) => records.map(({ stamp }) => nameOf(stamp)))
    return new Set(names.slice(1).map((name, at) => `${names[at]} ${name}`))
  })

const reversed = (pair: string): string => pair.split(" ").reverse().join(" ")

const killedIn = (world: World): ReadonlySet<number> =>
  new Set(eventsOf(world, "nemesis").map(({ target }) => target))

const untold = (world: World): ReadonlyArray<Transaction> =>
  transactionsOf(world).filter(({ outcome }) => outcome === null)

/** Each by the words of `HistoryChecker.allowed` with which it begins. */
export const occurs: Readonly<Record<string, (world: World) => boolean>> = {
  "write cycles (G0)": (world) => {
    const seen = orders(world)
    return seen.some((pairs, at) =>
      [...pairs].some((pair) =>
        seen.some((other, position) => position !== at && other.has(reversed(pair)))
      )
    )
  },
  "records of other producers": (world) =>
    world.partitions.some(({ batches }) =>
      batches.some((batch, at) => {
        const [stamp] = batch.records
        const later = batches.slice(at + 2).find(({ records: [record] }) =>
          stamp !== undefined && record !== undefined &&
          nameOf(record.stamp) === nameOf(stamp.stamp)
        )
        const between = batches.slice(at + 1, batches.indexOf(later ?? batch))
        return later !== undefined && between.some(({ records }) => records.length > 0)
      })
    ),
  "fractured reads": (world) =>
    transactionsOf(world).some(({ begin }) =>
      eventsOf(world, "poll").filter(({ permanent, stamps }) =>
        permanent &&
        stamps.some((process, at) =>
          at % 3 === 0 && process === begin.process && stamps[at + 1] === begin.transaction
        )
      ).length > 1
    ),
  "polls that skip or repeat": (world) => {
    const seen = new Set<string>()
    return eventsOf(world, "poll").some(({ member, offsets, partition, topic }) => {
      const read = `${member} ${topic}-${partition} ${offsets[0]}`
      const again = seen.has(read)
      seen.add(read)
      return again
    })
  },
  "offsets without a record": (world) =>
    world.partitions.some((partition) =>
      visibleIn(partition).some(({ offset }, at, all) => at > 0 && offset > all[at - 1]!.offset + 1)
    ),
  "ABORT markers without records": (world) =>
    world.partitions.some(({ batches }) =>
      batches.some(({ control, producerId }, at) =>
        control === "abort" &&
        batches.slice(0, at).findLast((before) => before.producerId === producerId)?.control !==
          null
      )
    ),
  "records of an aborted transaction": (world) =>
    transactionsOf(world).some(({ begin, outcome, places }) =>
      outcome === "Aborted" && places.length > 0 &&
      eventsOf(world, "send.ok").some((event) => isOf(event, begin))
    ),
  "a committed transaction whose commit": (world) =>
    untold(world).some(({ markers }) => markers.some(({ marker }) => marker.control === "commit")),
  "operations without an end": (world) => {
    const killed = killedIn(world)
    return eventsOf(world, "send.inv").some((asked) =>
      killed.has(asked.process) &&
      !world.events.some((event) =>
        event._tag.startsWith("send.") && event !== asked && isOf(event, asked) &&
        "operation" in event && event.operation === asked.operation
      )
    )
  },
  "an ABORT marker of a newer epoch": (world) =>
    placesIn(world).some(({ batch, partition }) => {
      const later = partition.batches.slice(partition.batches.indexOf(batch) + 1)
      const next = later.find(({ producerId }) => producerId === batch.producerId)
      return next?.control === "abort" && next.epoch > batch.epoch
    })
}
