/**
 * What may be wrong in what programs were told: S4, S6, S7, V3-V5, H1-H4, and the history itself.
 */
import {
  appendTo,
  type EventOf,
  eventsOf,
  isAborted,
  isCommitted,
  isOf,
  pickFrom,
  pickTransaction,
  placesIn,
  remove,
  type Transaction
} from "./lookup.ts"
import { type Mutation, mutation } from "./mutation.ts"
import { wallOrigin, type World, type WorldEntry } from "./world.ts"

const killed = (world: World): ReadonlySet<number> =>
  new Set(eventsOf(world, "nemesis").map(({ target }) => target))

const lives = (world: World) => {
  const dead = killed(world)
  return ({ begin }: Transaction): boolean => !dead.has(begin.process)
}

const eventOf = <Tag extends "result" | "end.ok" | "end.inv" | "scope.closed" | "offs.inv">(
  world: World,
  { begin }: Transaction,
  tag: Tag
): EventOf<Tag> | undefined =>
  eventsOf(world, tag).find((event) => isOf(event, begin)) as EventOf<Tag> | undefined

const acknowledged = (world: World, fits: (event: EventOf<"send.ok">) => boolean = () => true) => {
  const told = new Map(
    eventsOf(world, "result").map((event) => [`${event.process}/${event.transaction}`, event])
  )
  return pickFrom(
    world,
    eventsOf(world, "send.ok").filter((event) =>
      event.acks[0]!.offsets.length > 0 &&
      told.get(`${event.process}/${event.transaction}`)?.outcome === "Committed" && fits(event)
    )
  )
}

const acks: ReadonlyArray<Mutation> = [
  mutation("S7", "an acknowledgement names another offset", (world) => {
    const event = acknowledged(world)
    if (event === undefined) return false
    event.acks[0]!.offsets[0]! += world.random.pick([1, 2, 1_000])
    return true
  }),
  mutation("S7", "an acknowledgement names another partition", (world) => {
    const event = acknowledged(world, ({ acks: [ack] }) => ack!.topic === "out")
    if (event === undefined) return false
    const ack = event.acks[0]!
    ack.partition = (ack.partition + 1) % 3
    return true
  }),
  mutation(
    "S7",
    "a record is acknowledged where an aborted one is, and is nowhere (P1)",
    (world) => {
      const aborted = pickTransaction(world, isAborted)
      const event = acknowledged(world)
      if (aborted === undefined || event === undefined) return false
      const { partition, record } = aborted.places[0]!
      const ack = event.acks[0]!
      const place = placesIn(world).find(({ record: { stamp } }) =>
        stamp.process === event.process && stamp.transaction === event.transaction &&
        stamp.index === ack.indices[0]
      )!
      remove(place.batch.records, place.record)
      Object.assign(ack, { topic: partition.topic, partition: partition.partition })
      ack.offsets[0] = record.offset
      return true
    }
  ),
  mutation("S6", "two records are acknowledged at one offset", (world) => {
    const one = acknowledged(world)
    if (one === undefined) return false
    const { partition, topic } = one.acks[0]!
    const other = acknowledged(
      world,
      (event) =>
        event !== one && event.acks[0]!.topic === topic && event.acks[0]!.partition === partition
    )
    if (other === undefined) return false
    other.acks[0]!.offsets[0] = one.acks[0]!.offsets[0]!
    return true
  }),
  mutation("S6", "the log uses an offset again", (world) => {
    const place = pickFrom(world, placesIn(world))
    if (place === undefined) return false
    const added = appendTo(place.partition, place.batch, [place.record.stamp])
    added.baseOffset = added.records[0]!.offset = place.record.offset
    return true
  }),
  mutation("S6", "a reader was given another value than the log has", (world) => {
    const poll = pickFrom(world, eventsOf(world, "poll"))
    if (poll === undefined) return false
    poll.stamps[2]! += 1
    return true
  })
]

const positions: ReadonlyArray<Mutation> = [
  mutation("S4", "a group's position is lost", (world) => {
    const row = pickFrom(world, world.groups)
    if (row !== undefined) row.offset -= 1
    return row !== undefined
  }),
  mutation("S4", "the position of an aborted transaction is kept", (world) => {
    const chosen = pickTransaction(world, (transaction) => {
      const offs = eventOf(world, transaction, "offs.inv")
      const row = world.groups.find(({ partition }) => partition === offs?.positions[0]!.partition)
      return isCommitted(transaction) && offs !== undefined &&
        row?.offset === offs.positions[0]!.next
    })
    if (chosen === undefined) return false
    for (const { marker } of chosen.markers) marker.control = "abort"
    for (const event of eventsOf(world, "result")) {
      if (isOf(event, chosen.begin)) event.outcome = "Aborted"
    }
    remove(world.events, eventOf(world, chosen, "end.ok")!)
    return true
  })
]

/** Everything after a moment happens later, the logs and the wire as well. */
const delay = (world: World, after: number, nanos: number): void => {
  for (const event of world.events) {
    if (event.t <= after) continue
    event.t += nanos
    if (event._tag === "open") event.wallMillis += nanos / 1e6
  }
  const wall = wallOrigin + after / 1e6
  for (const entry of world.wire) {
    if (entry.timeMillis > wall) entry.timeMillis += nanos / 1e6
    if ((entry.forwardedMillis ?? 0) > wall) entry.forwardedMillis! += nanos / 1e6
    if ((entry.answer?.timeMillis ?? 0) > wall) entry.answer!.timeMillis += nanos / 1e6
  }
}

/** The end of a fault after which none is on, and work goes on. */
const healed = (world: World, wanted: "connection" | "process") =>
  pickFrom(
    world,
    eventsOf(world, "nemesis").filter(({ fault, phase, t }) =>
      phase === "stop" && fault === wanted &&
      eventsOf(world, "nemesis").filter((other) => other.t <= t).reduce(
          (open, other) => open + (other.phase === "start" ? 1 : -1),
          0
        ) === 0 &&
      eventsOf(world, "end.ok").some((end) =>
        end.t > t && end.decision === "commit" && !killed(world).has(end.process)
      )
    )
  )

const stormOf = (world: World, transaction: Transaction, errorCode = 0): boolean => {
  const { begin: { id, process, t } } = transaction
  const session = eventsOf(world, "init.ok").find((init) =>
    init.process === process && init.session === transaction.begin.session
  )!
  const end = eventOf(world, transaction, "scope.closed")
  if (end === undefined) return false
  const first = world.wire.find(({ transactionalId }) => transactionalId === id)!
  for (let at = 0; at < 60; at++) {
    const timeMillis = wallOrigin + (t + (end.t - t) * at / 60) / 1e6
    world.wire.push({
      ...first,
      api: "AddPartitionsToTxn",
      timeMillis,
      forwardedMillis: timeMillis,
      producerId: BigInt(session.producerId),
      producerEpoch: session.epoch,
      answer: { ...first.answer!, timeMillis, errorCode }
    })
  }
  world.wire.sort((one, other) => one.timeMillis - other.timeMillis)
  return true
}

const stuck: ReadonlyArray<Mutation> = [
  mutation("V3", "after a lost connection nothing is committed for too long", (world) => {
    const stop = healed(world, "connection")
    if (stop === undefined) return false
    delay(world, stop.t, 6e9)
    return true
  }),
  mutation("V3", "after a restart nothing is committed for too long", (world) => {
    const stop = healed(world, "process")
    if (stop === undefined) return false
    delay(world, stop.t, 12e9)
    return true
  }),
  mutation("V4", "a send is never answered", (world) => {
    const event = pickFrom(
      world,
      eventsOf(world, "send.ok").filter(({ process }) => !killed(world).has(process))
    )
    if (event !== undefined) remove(world.events, event)
    return event !== undefined
  }),
  mutation("V4", "an end is never answered", (world) => {
    const chosen = pickTransaction(
      world,
      (at) => lives(world)(at) && eventOf(world, at, "end.ok") !== undefined
    )
    if (chosen === undefined) return false
    const tags: ReadonlyArray<string> = ["end.ok", "result", "scope.closed"]
    world.events = world.events.filter((event) =>
      !(tags.includes(event._tag) && isOf(event, chosen.begin))
    )
    return true
  }),
  mutation("V4", "the program is never told what became of a transaction", (world) => {
    const chosen = pickTransaction(world, lives(world))
    if (chosen === undefined) return false
    world.events = world.events.filter((event) =>
      !(event._tag === "result" && isOf(event, chosen.begin))
    )
    return true
  }),
  mutation("V5", "one transaction makes sixty requests", (world) => {
    const chosen = pickTransaction(world, (at) => isCommitted(at) && lives(world)(at))
    return chosen !== undefined && stormOf(world, chosen)
  }),
  mutation("V5", "a coordinator that still writes markers is asked sixty times", (world) => {
    const chosen = pickTransaction(world, (at) => isCommitted(at) && lives(world)(at))
    return chosen !== undefined && stormOf(world, chosen, 51)
  }),
  mutation("V5", "refused credentials are tried again and again", (world) => {
    const process = 0
    const t = world.now
    world.events.push({ _tag: "init.fail", process, t, id: "x", error: "AuthenticationFailed" })
    const first = world.wire[0]!
    for (let at = 0; at < 8; at++) {
      const timeMillis = wallOrigin + t / 1e6 + at * 100
      world.wire.push({ ...first, connection: 1_000 + at, timeMillis, transactionalId: null })
    }
    return true
  })
]

const requestsOf = (world: World, { begin }: Transaction, api: string): Array<WorldEntry> => {
  const session = eventsOf(world, "init.ok").find((init) =>
    init.process === begin.process && init.session === begin.session
  )
  const later = eventsOf(world, "begin").find((other) =>
    other.process === begin.process && other.session === begin.session && other.t > begin.t
  )
  const wall = (t: number) => wallOrigin + t / 1e6
  return world.wire.filter((entry) =>
    entry.api === api && entry.transactionalId === begin.id &&
    entry.producerEpoch === session?.epoch && entry.timeMillis > wall(begin.t) &&
    entry.timeMillis < wall(later?.t ?? Number.POSITIVE_INFINITY)
  )
}

const honesty: ReadonlyArray<Mutation> = [
  mutation("H1", "an aborted transaction is said to be committed", (world) => {
    const chosen = pickTransaction(world, isAborted)
    if (chosen === undefined) return false
    eventOf(world, chosen, "result")!.outcome = "Committed"
    return true
  }),
  mutation("H1", "a committed transaction is said to be aborted", (world) => {
    const chosen = pickTransaction(world, isCommitted)
    if (chosen === undefined) return false
    for (const event of eventsOf(world, "result")) {
      if (isOf(event, chosen.begin)) event.outcome = "Aborted"
    }
    return true
  }),
  mutation("H1", "an outcome is said to be unknown though the commit was answered", (world) => {
    const chosen = pickTransaction(world, (at) =>
      isCommitted(at) &&
      requestsOf(world, at, "EndTxn").some(({ answer, commit }) =>
        answer?.delivered === true && commit === true
      ))
    if (chosen === undefined) return false
    eventOf(world, chosen, "result")!.outcome = "Unknown"
    return true
  }),
  mutation("H1", "a refusal for good is said to be worth a repetition", (world) => {
    const chosen = pickTransaction(
      world,
      (at) =>
        eventOf(world, at, "result")?.recovery === "retry" &&
        requestsOf(world, at, "Produce").every(({ answer }) => answer?.delivered === true) &&
        requestsOf(world, at, "AddPartitionsToTxn").length > 0
    )
    if (chosen === undefined) return false
    requestsOf(world, chosen, "AddPartitionsToTxn")[0]!.answer!.errorCode = world.random.pick([
      29,
      53
    ])
    return true
  }),
  mutation("H2", "an unknown outcome is never resolved", (world) =>
    unresolved(world, (event) => {
      remove(world.events, event)
    })),
  mutation(
    "H2",
    "an unknown outcome is resolved as unknown",
    (world) =>
      unresolved(world, (event) => {
        event.outcome = "Unknown"
      })
  )
]

const unresolved = (world: World, change: (event: EventOf<"result">) => void): boolean => {
  const event = pickFrom(world, eventsOf(world, "result").filter(({ resolved }) => resolved))
  if (event !== undefined) change(event)
  return event !== undefined
}

const cleanUp: ReadonlyArray<Mutation> = [
  mutation("H3", "a scope is closed before EndTxn is answered", (world) => {
    const chosen = pickTransaction(
      world,
      (at) =>
        eventOf(world, at, "scope.closed") !== undefined &&
        requestsOf(world, at, "EndTxn").some(({ answer }) => answer?.delivered === true)
    )
    if (chosen === undefined) return false
    const closed = wallOrigin + eventOf(world, chosen, "scope.closed")!.t / 1e6
    // Nor may the next session's InitProducerId have ended it in time.
    for (const { answer } of requestsOf(world, chosen, "EndTxn")) {
      if (answer !== null) answer.timeMillis = closed + 40
    }
    return !fencedBefore(world, chosen, closed)
  }),
  mutation("H3", "a scope is closed before the fence is answered", (world) => {
    const chosen = pickTransaction(
      world,
      (at) =>
        eventOf(world, at, "scope.closed") !== undefined &&
        requestsOf(world, at, "EndTxn").some(({ answer, commit }) =>
          answer === null && commit === true
        )
    )
    if (chosen === undefined) return false
    const began = wallOrigin + chosen.begin.t / 1e6
    const closed = wallOrigin + eventOf(world, chosen, "scope.closed")!.t / 1e6
    for (const { answer, api, timeMillis, transactionalId } of world.wire) {
      if (api !== "InitProducerId" || transactionalId !== chosen.begin.id) continue
      if (timeMillis > began && timeMillis < closed) answer!.timeMillis = closed + 40
    }
    return true
  }),
  mutation("H4", "sockets are open when a scope has closed", (world) => {
    const event = pickFrom(world, eventsOf(world, "scope.closed"))
    if (event !== undefined) event.leaked = world.random.int(1, 9)
    return event !== undefined
  }),
  mutation("H4", "a record is sent after the scope of its transaction", (world) => {
    const last = eventsOf(world, "begin").findLast(({ process }) => !killed(world).has(process))
    const chosen = pickTransaction(world, ({ begin }) => begin === last)
    const sent = chosen === undefined ? undefined : requestsOf(world, chosen, "Produce")[0]
    const closed = chosen === undefined ? undefined : eventOf(world, chosen, "scope.closed")
    if (sent === undefined || closed === undefined) return false
    const timeMillis = wallOrigin + closed.t / 1e6 + 30
    world.wire.push({ ...sent, timeMillis, forwardedMillis: timeMillis })
    return true
  }),
  mutation("H4", "a producer sends after its own scope (P3)", (world) => {
    const { id, process } = world.random.pick(eventsOf(world, "init.ok"))
    const event = { process, id, transaction: -1, clientId: "client", leaked: 0 } as const
    world.events.push({ _tag: "scope.closed", scope: "producer", t: world.now, ...event })
    const timeMillis = wallOrigin + world.now / 1e6 + 500
    world.wire.push({ ...world.wire[0]!, api: "Produce", timeMillis, forwardedMillis: timeMillis })
    return true
  })
]

const fencedBefore = (world: World, { begin }: Transaction, closed: number): boolean =>
  world.wire.some(({ answer, api, timeMillis, transactionalId }) =>
    api === "InitProducerId" && transactionalId === begin.id && answer !== null &&
    timeMillis > wallOrigin + begin.t / 1e6 - 5 && answer.timeMillis <= closed + 5
  )

const nonsense: ReadonlyArray<Mutation> = [
  mutation("history", "a transaction begins twice", (world) => {
    const event = pickFrom(world, eventsOf(world, "begin"))
    if (event !== undefined) world.events.push({ ...event })
    return event !== undefined
  }),
  mutation("history", "an operation ends that was never asked for", (world) => {
    const ends = [...eventsOf(world, "send.ok"), ...eventsOf(world, "send.info")]
    const end = pickFrom(world, ends)
    const event = eventsOf(world, "send.inv").find((asked) =>
      end !== undefined && isOf(asked, end) && asked.operation === end.operation
    )
    if (event !== undefined) remove(world.events, event)
    return event !== undefined
  }),
  mutation("history", "a transaction sends more records than it has", (world) => {
    const event = pickFrom(world, eventsOf(world, "begin"))
    if (event !== undefined) event.count = 0
    return event !== undefined &&
      eventsOf(world, "send.inv").some((send) => isOf(send, event))
  })
]

export const toldMutations: ReadonlyArray<Mutation> = [
  ...acks,
  ...positions,
  ...stuck,
  ...honesty,
  ...cleanUp,
  ...nonsense
]
