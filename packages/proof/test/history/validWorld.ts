/**
 * Valid worlds: several producers in several processes, whose transactions commit, abort, fail, are
 * fenced, killed, or end unknown; a pipeline with its input and its group; and a reader that runs
 * all the time. Whatever a seed makes of it, a checker must find nothing.
 */
import * as Producer from "./producer.ts"
import {
  make,
  partitionAt,
  stableOffset,
  tell,
  tick,
  visibleIn,
  wallOrigin,
  type World,
  type WorldPartition
} from "./world.ts"

export const outputs = 3
export const inputs = 2
export const group = "pipeline"
const reader = "reader"

interface Play {
  readonly world: World
  readonly kafka: Producer.Kafka
  /** Where the permanent reader and the pipeline are, by partition. */
  readonly read: Map<WorldPartition, number>
  readonly positions: Map<WorldPartition, number>
  nextProcess: number
}

interface Actor {
  process: number
  readonly id: string
  session: Producer.Session
  readonly pipeline: boolean
}

/** One step of an actor after the other, so that actors lie across each other. */
type Steps = Generator<undefined, void, undefined>

const openProcess = (play: Play): number => {
  const process = play.nextProcess++
  const { world } = play
  const t = tick(world)
  const wallMillis = wallOrigin + t / 1e6
  world.events.push({ _tag: "open", process, t, run: world.run, wallMillis })
  return process
}

const actorOf = (play: Play, process: number, id: string, pipeline = false): Actor => ({
  process,
  id,
  pipeline,
  session: Producer.initialize(play.kafka, process, id)
})

/** The sends of a transaction: each to one partition, some of them repeated on the wire. */
function* sends(
  play: Play,
  open: Producer.Open,
  pairs: Producer.SendOptions["inputs"] = [],
  until = open.count
): Steps {
  const { random } = play.world
  while (open.sent < until) {
    const partition = Producer.outputAt(play.world, random.int(0, outputs - 1))
    const count = random.int(1, Math.min(3, until - open.sent))
    Producer.send(open, partition, count, { repeated: random.chance(0.1), inputs: pairs })
    yield
  }
  // A partition is registered, and nothing is written to it.
  if (random.chance(0.15)) {
    Producer.register(open, Producer.outputAt(play.world, random.int(0, outputs - 1)))
  }
}

const endings = [
  "commit",
  "commit",
  "commit",
  "commit",
  "abort",
  "failed send",
  "lost answer",
  "lost request",
  "unknown, committed",
  "unknown, aborted"
] as const

type Ending = (typeof endings)[number] | "killed" | "fenced"

/** Ends a transaction in one of the ways; tells whether it is committed in truth. */
function* end(play: Play, actor: Actor, open: Producer.Open, ending: Ending): Generator<
  undefined,
  boolean,
  undefined
> {
  const renew = () => {
    actor.session = Producer.initialize(play.kafka, actor.process, actor.id)
  }
  const result = (
    ...args: Parameters<typeof Producer.tellResult> extends [unknown, ...infer Rest] ? Rest
      : never
  ) => Producer.tellResult(open, ...args)
  switch (ending) {
    case "commit":
      Producer.tellEnd(open, { _tag: "end.inv", decision: "commit" })
      yield
      Producer.endTransaction(open, "commit")
      Producer.tellEnd(open, { _tag: "end.ok", decision: "commit" })
      result("Committed")
      Producer.close(open)
      return true
    case "abort":
    case "failed send":
      Producer.tellEnd(open, { _tag: "end.inv", decision: "abort" })
      yield
      Producer.endTransaction(open, "abort")
      Producer.tellEnd(open, { _tag: "end.ok", decision: "abort" })
      if (ending === "abort") result("Aborted", "GiveUp")
      else result("Aborted", "TimedOut", "retry")
      Producer.close(open)
      if (ending === "failed send") renew()
      return false
    case "lost answer":
    case "lost request": {
      const committed = ending === "lost answer"
      Producer.tellEnd(open, { _tag: "end.inv", decision: "commit" })
      yield
      Producer.endTransaction(open, "commit", committed ? "answer" : "request")
      yield
      renew()
      if (committed) Producer.tellEnd(open, { _tag: "end.ok", decision: "commit" })
      else Producer.tellEnd(open, { _tag: "end.fail", error: "CommitRefused" })
      result(committed ? "Committed" : "Aborted", committed ? null : "CommitRefused", null)
      Producer.close(open)
      return committed
    }
    case "unknown, committed":
    case "unknown, aborted": {
      const committed = ending === "unknown, committed"
      Producer.tellEnd(open, { _tag: "end.inv", decision: "commit" })
      Producer.endTransaction(open, "commit", committed ? "answer" : "request")
      Producer.tellEnd(open, { _tag: "end.info", error: "CommitOutcomeUnknown" })
      renew()
      result("Unknown", "CommitOutcomeUnknown", "resolve")
      Producer.close(open)
      yield
      if (play.world.random.chance(0.7)) {
        result(committed ? "Committed" : "Aborted", null, null, true)
      } else resolveLater(play, open, committed)
      return committed
    }
    case "fenced": {
      const other = openProcess(play)
      actor.process = other
      const old = actor.session
      renew()
      Producer.tellEnd({ ...open, session: old }, { _tag: "end.inv", decision: "abort" })
      Producer.tellEnd({ ...open, session: old }, { _tag: "end.fail", error: "ProducerFenced" })
      result("Aborted", "ProducerFenced", "restart")
      Producer.close(open)
      return false
    }
    case "killed": {
      // Of a process with one actor: nothing of it is told any more.
      const isSending = open.operations > open.answered
      const stage = isSending
        ? "open"
        : play.world.random.pick(["open", "asked", "sent"] as const)
      if (stage !== "open") Producer.tellEnd(open, { _tag: "end.inv", decision: "commit" })
      if (stage === "sent") Producer.endTransaction(open, "commit", "answer")
      const target = actor.process
      const kill = {
        _tag: "nemesis",
        process: 0,
        fault: "process",
        what: "SIGKILL",
        target
      } as const
      tell(play.world, { ...kill, phase: "start" })
      yield
      actor.process = openProcess(play)
      tell(play.world, { ...kill, phase: "stop" })
      renew()
      return stage === "sent"
    }
  }
}

/** Asked again at the very end, as a program does after a restart. */
const resolveLater = (play: Play, open: Producer.Open, committed: boolean): void => {
  later.get(play)?.push(() =>
    Producer.tellResult(open, committed ? "Committed" : "Aborted", null, null, true)
  )
}
const later = new WeakMap<Play, Array<() => void>>()

function* transact(play: Play, actor: Actor, mayDie: boolean): Steps {
  const { random } = play.world
  const special = mayDie && random.chance(0.15)
  const ending: Ending = special ? random.pick(["killed", "fenced"] as const) : random.pick(endings)
  const open = Producer.begin(play.kafka, actor.session, random.int(1, 6))
  yield
  // A send that fails, or of which nobody is told any more, is the last one.
  const killed = ending === "killed" && random.chance(0.5)
  const isLost = ending === "failed send" || killed
  yield* sends(play, open, [], isLost ? open.count - 1 : open.count)
  if (isLost) {
    const lost = random.pick(["acted", "unseen"] as const)
    Producer.send(open, Producer.outputAt(play.world, 0), 1, { lost, killed })
  }
  yield* end(play, actor, open, ending)
}

/** Consumes, transforms and produces a few records of one input partition. */
function* process(play: Play, actor: Actor): Steps {
  const { random } = play.world
  const input = partitionAt(play.world, "in", random.int(0, inputs - 1))
  const from = play.positions.get(input) ?? 0
  const batch = visibleIn(input).filter(({ offset }) => offset >= from).slice(0, random.int(1, 4))
  if (batch.length === 0) return
  const open = Producer.begin(play.kafka, actor.session, batch.length)
  const member = `member ${actor.process}`
  poll(play, input, batch.length, from, {
    member,
    process: actor.process,
    transaction: open.number,
    permanent: false
  })
  const next = batch.at(-1)!.offset + 1
  yield* sends(play, open, batch.map(({ offset }) => [input.partition, offset] as const))
  const at = { topic: "in", partition: input.partition }
  const operation = open.operations++
  const { number: transaction } = open
  const offs = { process: actor.process, transaction, operation }
  tell(play.world, { _tag: "offs.inv", ...offs, group, member, positions: [{ ...at, from, next }] })
  tell(play.world, { _tag: "offs.ok", ...offs })
  const ending = random.pick(endings)
  const owner = actor.process
  const committed = yield* end(play, actor, open, ending)
  if (committed) play.positions.set(input, next)
  else tell(play.world, { _tag: "seek", process: owner, member, ...at, offset: from, rewind: true })
  if (random.chance(0.5)) sample(play, input)
}

const sample = (play: Play, input: WorldPartition): void => {
  const offset = play.positions.get(input) ?? 0
  const { partition } = input
  tell(play.world, { _tag: "group.offset", process: 0, group, topic: "in", partition, offset })
}

const poll = (
  play: Play,
  partition: WorldPartition,
  count: number,
  from: number,
  by: {
    readonly member: string
    readonly process: number
    readonly transaction: number
    readonly permanent: boolean
  }
): number => {
  const records = visibleIn(partition).filter(({ offset }) => offset >= from).slice(0, count)
  if (records.length === 0) return from
  tell(play.world, {
    _tag: "poll",
    ...by,
    topic: partition.topic,
    partition: partition.partition,
    group: by.permanent ? null : group,
    committedOnly: true,
    offsets: records.map(({ offset }) => offset),
    stamps: records.flatMap(({ stamp }) => [stamp.process, stamp.transaction, stamp.index]),
    lastStableOffset: stableOffset(partition),
    leaderEpoch: 0
  })
  return records.at(-1)!.offset + 1
}

const readOn = (play: Play, count: number): void => {
  const partition = Producer.outputAt(play.world, play.world.random.int(0, outputs - 1))
  readFrom(play, partition, count)
}

const readFrom = (play: Play, partition: WorldPartition, count: number): void => {
  const from = play.read.get(partition) ?? 0
  const by = { member: reader, process: 0, transaction: -1, permanent: true }
  play.read.set(partition, poll(play, partition, count, from, by))
}

/** The input of the pipeline, from one transaction per turn, in a process of its own. */
function* load(play: Play, actor: Actor): Steps {
  const { random } = play.world
  const open = Producer.begin(play.kafka, actor.session, random.int(1, 4))
  while (open.sent < open.count) {
    Producer.send(open, partitionAt(play.world, "in", random.int(0, inputs - 1)), 1)
  }
  yield
  yield* end(play, actor, open, random.chance(0.8) ? "commit" : "abort")
}

/** What the checker has to be told of the pipeline. */
export const pipeline = { group, inputTopic: "in", outputTopics: ["out"] } as const

export const validWorld = (seed: number, turns = 30): World => {
  const world = make(seed)
  const kafka = { world, ids: new Map(), sessions: new Map(), transactions: new Map() }
  const play: Play = { world, kafka, read: new Map(), positions: new Map(), nextProcess: 0 }
  later.set(play, [])
  for (let at = 0; at < outputs; at++) partitionAt(world, "out", at)
  for (let at = 0; at < inputs; at++) partitionAt(world, "in", at)
  openProcess(play)
  const loader = actorOf(play, openProcess(play), "loader")
  const worker = actorOf(play, openProcess(play), "worker", true)
  const shared = openProcess(play)
  const others = ["one", "two"].map((id) => actorOf(play, shared, id))
  // Alone in its process, so that the process may be killed.
  const mortal = actorOf(play, openProcess(play), "mortal")
  const stepsOf = (actor: Actor): Steps =>
    actor === loader
      ? load(play, actor)
      : actor.pipeline
      ? process(play, actor)
      : transact(play, actor, actor === mortal)
  const actors = [loader, worker, ...others, mortal].map((actor) => ({
    actor,
    steps: stepsOf(actor),
    left: turns
  }))
  run(play, actors, stepsOf)
  finish(play)
  return world
}

const run = (
  play: Play,
  actors: Array<{ readonly actor: Actor; steps: Steps; left: number }>,
  stepsOf: (actor: Actor) => Steps
): void => {
  const { random } = play.world
  let turn = 0
  const fault = {
    _tag: "nemesis",
    process: 0,
    fault: "connection",
    what: "reset",
    target: -1
  } as const
  while (actors.some(({ left }) => left > 0)) {
    turn += 1
    if (turn === 40) tell(play.world, { ...fault, phase: "start" })
    if (turn === 60) tell(play.world, { ...fault, phase: "stop" })
    const chosen = random.pick(actors.filter(({ left }) => left > 0))
    if (chosen.steps.next().done === true) {
      chosen.left -= 1
      chosen.steps = stepsOf(chosen.actor)
    }
    if (random.chance(0.1)) readOn(play, random.int(1, 5))
  }
}

/** Everything has ended: what is left to be read is read, and nothing happens for a minute. */
const finish = (play: Play): void => {
  const { world } = play
  for (const resolve of later.get(play) ?? []) resolve()
  for (let at = 0; at < outputs; at++) {
    readFrom(play, partitionAt(world, "out", at), Number.POSITIVE_INFINITY)
  }
  for (const [transactionalId, { producerId }] of play.kafka.ids) {
    const state = "CompleteCommit"
    world.transactions.push({ transactionalId, producerId: BigInt(producerId), state })
  }
  for (let at = 0; at < inputs; at++) {
    const input = partitionAt(world, "in", at)
    const offset = play.positions.get(input)
    if (offset !== undefined) world.groups.push({ group, topic: "in", partition: at, offset })
  }
  world.now += 90e9
  for (let at = 0; at < inputs; at++) sample(play, partitionAt(world, "in", at))
}
