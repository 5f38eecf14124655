/** What may be wrong with what consumers are given, and what they make of it: R1-R8, E1-E6. */
import {
  appendTo,
  type EventOf,
  eventsOf,
  isAborted,
  isCommitted,
  isOf,
  pickFrom,
  pickTransaction,
  pickVisible,
  remove,
  type Transaction
} from "./lookup.ts"
import { type Mutation, mutation } from "./mutation.ts"
import { group } from "./validWorld.ts"
import { visibleIn, type World, type WorldEvent } from "./world.ts"

type Poll = EventOf<"poll">

const longPoll = (world: World, rows: number, fits: (poll: Poll) => boolean = () => true) =>
  pickFrom(
    world,
    eventsOf(world, "poll").filter((poll) => poll.offsets.length >= rows && fits(poll))
  )

const cut = (poll: Poll, at: number): void => {
  poll.offsets.splice(at, 1)
  poll.stamps.splice(at * 3, 3)
}

const insertAfter = (world: World, event: WorldEvent, added: WorldEvent): void => {
  world.events.splice(world.events.indexOf(event) + 1, 0, added)
}

const beginOf = (world: World, poll: Poll, row: number): EventOf<"begin"> | undefined =>
  eventsOf(world, "begin").find(({ process, transaction }) =>
    process === poll.stamps[row * 3] && transaction === poll.stamps[row * 3 + 1]
  )

/** A poll in which one transaction reads a record of another. */
const readsOf = (world: World, reader: Transaction, writer: Transaction): Poll => {
  const { partition, record } = writer.places[0]!
  const { index, process, transaction } = record.stamp
  return {
    _tag: "poll",
    t: world.now,
    process: reader.begin.process,
    member: `reader of ${reader.begin.process}/${reader.begin.transaction}`,
    topic: partition.topic,
    partition: partition.partition,
    group: null,
    permanent: false,
    committedOnly: true,
    transaction: reader.begin.transaction,
    offsets: [record.offset],
    stamps: [process, transaction, index],
    lastStableOffset: null,
    leaderEpoch: null
  }
}

const circle = (world: World, size: number): boolean => {
  const chosen: Array<Transaction> = []
  for (let at = 0; at < size; at++) {
    const next = pickTransaction(world, (other) =>
      isCommitted(other) &&
      chosen.every(({ begin }) =>
        begin.process !== other.begin.process || begin.transaction !== other.begin.transaction
      ))
    if (next === undefined) return false
    chosen.push(next)
  }
  chosen.forEach((reader, at) => {
    world.events.push(readsOf(world, reader, chosen[(at + 1) % size]!))
  })
  return true
}

const flows: ReadonlyArray<Mutation> = [
  mutation("R1", "a record is read before its commit was asked for", (world) => {
    const poll = longPoll(world, 1)
    const begin = poll === undefined ? undefined : beginOf(world, poll, 0)
    if (poll === undefined || begin === undefined) return false
    poll.t = begin.t + 1
    return true
  }),
  mutation("R1", "a transaction reads its own record", (world) => {
    const chosen = pickTransaction(world, isCommitted)
    if (chosen !== undefined) world.events.push(readsOf(world, chosen, chosen))
    return chosen !== undefined
  }),
  mutation("R2", "two transactions read from each other", (world) => circle(world, 2)),
  mutation("R2", "four transactions read in a circle", (world) => circle(world, 4)),
  mutation("R6", "a record is given at the last stable offset", (world) => {
    const poll = longPoll(world, 1)
    if (poll !== undefined) poll.lastStableOffset = poll.offsets.at(-1)!
    return poll !== undefined
  }),
  mutation("R6", "the last stable offset goes back", (world) => {
    const poll = longPoll(world, 1, ({ lastStableOffset }) => (lastStableOffset ?? 0) > 0)
    if (poll === undefined) return false
    insertAfter(world, poll, { ...poll, offsets: [], stamps: [], lastStableOffset: 0 })
    return true
  }),
  mutation("R6", "an aborted record is given", (world) => {
    const aborted = pickTransaction(world, isAborted)
    if (aborted === undefined) return false
    world.events.push(
      readsOf(world, { ...aborted, begin: { ...aborted.begin, transaction: 9_999 } }, aborted)
    )
    return true
  }),
  mutation("S2", "a reader was given an aborted record", (world) => {
    const aborted = pickTransaction(world, isAborted)
    const reader = pickTransaction(world, isCommitted)
    if (aborted === undefined || reader === undefined) return false
    world.events.push(readsOf(world, reader, aborted))
    return true
  })
]

/** A poll of a place that the same member polls again later, with no move in between. */
const followed = (world: World): { readonly poll: Poll; readonly next: Poll } | undefined => {
  const polls = eventsOf(world, "poll").filter(({ permanent }) => permanent)
  return pickFrom(
    world,
    polls.flatMap((poll, at) => {
      const next = polls.slice(at + 1).find((later) => later.partition === poll.partition)
      return next === undefined ? [] : [{ poll, next }]
    })
  )
}

const sequences: ReadonlyArray<Mutation> = [
  mutation("R3", "a consumer is given the same records again", (world) => {
    const poll = longPoll(world, 1, ({ permanent }) => permanent)
    if (poll !== undefined) insertAfter(world, poll, { ...poll })
    return poll !== undefined
  }),
  mutation("R3", "a consumer's next poll begins with the last record", (world) => {
    const found = followed(world)
    if (found === undefined) return false
    found.next.offsets.unshift(found.poll.offsets.at(-1)!)
    found.next.stamps.unshift(...found.poll.stamps.slice(-3))
    return true
  }),
  mutation("R4", "a poll is missing", (world) => {
    const first = followed(world)
    const second = first === undefined
      ? undefined
      : eventsOf(world, "poll").filter(({ permanent, partition }) =>
        permanent && partition === first.poll.partition
      )
    if (second === undefined || second.length < 3) return false
    remove(world.events, second[world.random.int(1, second.length - 2)]!)
    return true
  }),
  mutation("R4", "the first record of a poll is missing", (world) => {
    const found = followed(world)
    if (found === undefined || found.next.offsets.length < 2) return false
    cut(found.next, 0)
    return true
  }),
  mutation("R5", "a record within a poll is missing", (world) => {
    const poll = longPoll(world, 3)
    if (poll !== undefined) cut(poll, 1)
    return poll !== undefined
  }),
  mutation("R5", "the records of a poll are in the wrong order", (world) => {
    const poll = longPoll(world, 2)
    if (poll === undefined) return false
    poll.offsets.reverse()
    return true
  }),
  mutation("R7", "after an abort a consumer goes on", (world) =>
    afterRewind(world, (next) => {
      if (next.offsets.length < 2) return false
      cut(next, 0)
      return true
    })),
  mutation(
    "R7",
    "after an abort a consumer goes back too far",
    (world) =>
      afterRewind(world, (next) => {
        const input = world.partitions.find(({ partition, topic }) =>
          topic === "in" && partition === next.partition
        )!
        const before = visibleIn(input).findLast(({ offset }) => offset < next.offsets[0]!)
        if (before === undefined) return false
        next.offsets.unshift(before.offset)
        const { index, process, transaction } = before.stamp
        next.stamps.unshift(process, transaction, index)
        return true
      })
  ),
  mutation("R8", "the last record of a partition is never given", (world) => {
    const last = eventsOf(world, "poll").findLast(({ permanent }) => permanent)
    if (last !== undefined) cut(last, last.offsets.length - 1)
    return last !== undefined
  }),
  mutation("R8", "the reader stops early", (world) => {
    const last = eventsOf(world, "poll").findLast(({ permanent }) => permanent)
    if (last !== undefined) remove(world.events, last)
    return last !== undefined
  })
]

/** The first poll of a partition by the pipeline after an aborted transaction of its. */
const afterRewind = (world: World, change: (next: Poll) => boolean): boolean => {
  const nexts = eventsOf(world, "seek").flatMap((seek) => {
    const next = eventsOf(world, "poll").find((poll) =>
      poll.member === seek.member && poll.partition === seek.partition && poll.topic === "in" &&
      poll.t > seek.t
    )
    return next === undefined ? [] : [next]
  })
  return nexts.some(change)
}

const committedOffsets = (world: World) =>
  eventsOf(world, "offs.inv").filter((offs) =>
    eventsOf(world, "result").some((result) => isOf(result, offs) && result.outcome === "Committed")
  )

const pipelines: ReadonlyArray<Mutation> = [
  mutation("E1", "an input is processed by two transactions", (world) => {
    const one = pickVisible(world, "out")
    if (one === undefined || one.record.stamp.inputOffset < 0) return false
    const other = pickTransaction(
      world,
      (at) => isCommitted(at) && at.begin.transaction !== one.record.stamp.transaction
    )
    if (other === undefined) return false
    const { inputOffset, inputPartition } = one.record.stamp
    Object.assign(other.places[0]!.record.stamp, { inputOffset, inputPartition })
    return true
  }),
  mutation("E1", "outputs are written again by a later transaction", (world) => {
    const one = pickVisible(world, "out")
    const by = pickTransaction(
      world,
      (at) => isCommitted(at) && at.begin.process !== one?.record.stamp.process
    )
    if (one === undefined || by === undefined || one.record.stamp.inputOffset < 0) return false
    const stamp = { ...by.places[0]!.record.stamp }
    stamp.inputOffset = one.record.stamp.inputOffset
    stamp.inputPartition = one.record.stamp.inputPartition
    const producerId = 9_999
    appendTo(one.partition, { ...one.batch, producerId }, [stamp])
    appendTo(one.partition, { ...one.batch, producerId, control: "commit" })
    return true
  }),
  mutation("E2", "the group is ahead of what was processed", (world) => {
    const row = pickFrom(
      world,
      world.groups.filter(({ offset, partition }) =>
        visibleIn(inputAt(world, partition)).some((record) => record.offset >= offset)
      )
    )
    if (row !== undefined) row.offset = inputAt(world, row.partition).end
    return row !== undefined
  }),
  mutation("E2", "an output is missing", (world) => {
    const place = pickVisible(world, "out")
    if (place === undefined || place.record.stamp.inputOffset < 0) return false
    remove(place.batch.records, place.record)
    return true
  }),
  mutation("E3", "the group is behind what was processed", (world) => {
    const row = pickFrom(world, world.groups.filter(({ offset }) => offset > 0))
    if (row !== undefined) row.offset = 0
    return row !== undefined
  }),
  mutation("E3", "an output is of an input that comes later", (world) => {
    const place = pickVisible(world, "out")
    if (place === undefined || place.record.stamp.inputOffset < 0) return false
    place.record.stamp.inputOffset += 10_000
    return true
  }),
  mutation("E4", "a position is seen to go back", (world) => {
    const row = pickFrom(world, world.groups.filter(({ offset }) => offset > 0))
    if (row === undefined) return false
    const offset = row.offset - 1
    world.events.push({ _tag: "group.offset", process: 0, t: world.now + 1, ...row, offset })
    return true
  }),
  mutation("E4", "a position is seen to begin again", (world) => {
    const last = eventsOf(world, "group.offset").findLast(({ offset }) => offset > 0)
    if (last === undefined) return false
    world.events.push({ ...last, t: last.t + 1, offset: 0 })
    return true
  }),
  mutation("E5", "two sessions commit the same input", (world) => zombie(world, 0)),
  mutation(
    "E5",
    "a session commits an input that reaches into another's",
    (world) => zombie(world, 1)
  ),
  mutation("E6", "a sum is too large", (world) => {
    world.aggregates[0]!.actual = world.random.int(1, 100)
    return true
  }),
  mutation("E6", "a sum is expected to be another", (world) => {
    world.aggregates[0]!.expected = -1
    return true
  })
]

const inputAt = (world: World, partition: number) =>
  world.partitions.find((at) => at.topic === "in" && at.partition === partition)!

/** A committed transaction of another session takes over the range of one of the pipeline's. */
const zombie = (world: World, extra: number): boolean => {
  const offs = pickFrom(world, committedOffsets(world))
  const other = pickTransaction(
    world,
    (at) => isCommitted(at) && at.begin.process !== offs?.process
  )
  if (offs === undefined || other === undefined) return false
  const { process, t, transaction } = other.begin
  const [position] = offs.positions
  const operation = 1_000
  const next = position!.next + extra
  const copy = { process, transaction, operation }
  world.events.push(
    { _tag: "offs.inv", t, ...copy, group, member: "zombie", positions: [{ ...position!, next }] },
    { _tag: "offs.ok", t, ...copy }
  )
  return true
}

export const readMutations: ReadonlyArray<Mutation> = [...flows, ...sequences, ...pipelines]
