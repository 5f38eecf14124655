/** A producer of the world: sessions, sends, ends, and the fence that a new session is. */
import {
  partitionAt,
  request,
  tell,
  type WireFacts,
  type World,
  type WorldEntry,
  type WorldPartition,
  type WorldRecord
} from "./world.ts"

export interface Session {
  readonly process: number
  readonly number: number
  readonly id: string
  readonly producerId: number
  readonly epoch: number
  readonly sequences: Map<WorldPartition, number>
}

/** What a coordinator knows of a transactional id. */
interface Coordinated {
  readonly producerId: number
  epoch: number
  readonly registered: Set<WorldPartition>
  session: Session | null
}

export interface Kafka {
  readonly world: World
  readonly ids: Map<string, Coordinated>
  readonly sessions: Map<number, number>
  readonly transactions: Map<number, number>
}

export interface Open {
  readonly kafka: Kafka
  readonly session: Session
  readonly number: number
  readonly count: number
  sent: number
  operations: number
  answered: number
}

const nextOf = (counters: Map<number, number>, process: number): number => {
  const number = (counters.get(process) ?? -1) + 1
  counters.set(process, number)
  return number
}

export const of = (session: Session, api: string, facts: Partial<WorldEntry> = {}): WireFacts => ({
  api,
  transactionalId: session.id,
  producerId: BigInt(session.producerId),
  producerEpoch: session.epoch,
  ...facts
})

const mark = (
  partition: WorldPartition,
  producerId: number,
  epoch: number,
  control: "commit" | "abort"
): void => {
  partition.batches.push({
    baseOffset: partition.end++,
    producerId,
    epoch,
    sequence: -1,
    control,
    records: []
  })
}

/** InitProducerId: the next epoch, which ends what is open in its own name. */
export const initialize = (kafka: Kafka, process: number, id: string): Session => {
  const { ids, world } = kafka
  const known: Coordinated = ids.get(id) ??
    { producerId: 100 + ids.size, epoch: -1, registered: new Set(), session: null }
  ids.set(id, known)
  known.epoch += 1
  for (const partition of known.registered) {
    mark(partition, known.producerId, known.epoch, "abort")
  }
  known.registered.clear()
  const { epoch, producerId } = known
  const number = nextOf(kafka.sessions, process)
  known.session = { process, number, id, producerId, epoch, sequences: new Map() }
  const entry = request(world, {
    api: "InitProducerId",
    transactionalId: id,
    producerId: -1n,
    producerEpoch: -1
  })
  entry.answer = { ...entry.answer!, producerId: BigInt(producerId), producerEpoch: epoch }
  tell(world, { _tag: "init.ok", process, id, session: number, producerId, epoch })
  return known.session
}

export const begin = (kafka: Kafka, session: Session, count: number): Open => {
  const number = nextOf(kafka.transactions, session.process)
  const { id, number: of, process } = session
  tell(kafka.world, { _tag: "begin", process, transaction: number, id, session: of, count })
  return { kafka, session, number, count, sent: 0, operations: 0, answered: 0 }
}

export const register = ({ kafka, session }: Open, partition: WorldPartition): void => {
  const known = kafka.ids.get(session.id)!
  if (known.registered.has(partition) || known.session !== session) return
  known.registered.add(partition)
  request(kafka.world, of(session, "AddPartitionsToTxn"))
}

/** A request that gets no answer: the broker has acted on it, or has never seen it. */
const unanswered = (acted: boolean): Partial<WorldEntry> =>
  acted
    ? { action: "dropResponse" }
    : { action: "dropRequest", forwardedMillis: null, answer: null }

export interface SendOptions {
  readonly inputs?: ReadonlyArray<readonly [partition: number, offset: number]>
  /** The first answer is lost, and the same batch is sent again. */
  readonly repeated?: boolean
  /** The send is never answered: `acted` is whether its records are in the log. */
  readonly lost?: "acted" | "unseen"
  /** The process dies before it is told. */
  readonly killed?: boolean
}

/** Sends the next records of a transaction to a partition. */
export const send = (
  open: Open,
  partition: WorldPartition,
  count: number,
  options: SendOptions = {}
): void => {
  const { kafka, number: transaction, session } = open
  const { process } = session
  const { world } = kafka
  const operation = open.operations++
  const indices = Array.from({ length: count }, (_, at) => open.sent + at)
  open.sent += count
  const { topic } = partition
  const place = { topic, partition: partition.partition }
  const records = [{ ...place, indices }]
  tell(world, { _tag: "send.inv", process, transaction, operation, records })
  register(open, partition)
  const isLost = options.lost !== undefined
  const offsets = options.lost === "unseen" ? [] : write(open, partition, indices, options.inputs)
  if (options.repeated === true) {
    const first = request(world, of(session, "Produce", unanswered(true)))
    first.answer = { ...first.answer!, delivered: false }
  }
  const entry = request(world, of(session, "Produce", isLost ? unanswered(offsets.length > 0) : {}))
  if (isLost && entry.answer !== null) entry.answer = { ...entry.answer, delivered: false }
  if (options.killed === true) return
  open.answered += 1
  if (isLost) {
    tell(world, { _tag: "send.info", process, transaction, operation, error: "TimedOut" })
  } else {
    const acks = [{ ...place, indices, offsets }]
    tell(world, { _tag: "send.ok", process, transaction, operation, acks })
  }
}

const write = (
  { count, kafka, number, session }: Open,
  partition: WorldPartition,
  indices: ReadonlyArray<number>,
  inputs: SendOptions["inputs"]
): Array<number> => {
  const sequence = session.sequences.get(partition) ?? 0
  const records: Array<WorldRecord> = indices.map((index) => ({
    offset: partition.end + index - indices[0]!,
    stamp: {
      run: kafka.world.run,
      process: session.process,
      session: session.number,
      transaction: number,
      index,
      count,
      inputPartition: inputs?.[index]?.[0] ?? -1,
      inputOffset: inputs?.[index]?.[1] ?? -1
    }
  }))
  partition.batches.push({
    baseOffset: partition.end,
    producerId: session.producerId,
    epoch: session.epoch,
    sequence,
    control: null,
    records
  })
  partition.end += records.length
  session.sequences.set(partition, sequence + records.length)
  return records.map(({ offset }) => offset)
}

/** What the coordinator does for EndTxn: the markers of all registered partitions. */
export const decide = (open: Open, decision: "commit" | "abort"): void => {
  const known = open.kafka.ids.get(open.session.id)!
  for (const partition of known.registered) {
    mark(partition, open.session.producerId, open.session.epoch, decision)
  }
  known.registered.clear()
}

/** EndTxn on the wire. `lost` says whether the request or its answer got lost. */
export const endTransaction = (
  open: Open,
  decision: "commit" | "abort",
  lost?: "request" | "answer"
): void => {
  const commit = decision === "commit"
  if (lost !== "request") decide(open, decision)
  const facts = of(open.session, "EndTxn", {
    commit,
    ...lost === undefined ? {} : unanswered(lost === "answer")
  })
  const entry = request(open.kafka.world, facts)
  if (lost === "answer") entry.answer = { ...entry.answer!, delivered: false }
}

export const tellEnd = (
  { kafka, number: transaction, session: { process } }: Open,
  event: { readonly _tag: "end.inv" | "end.ok"; readonly decision: "commit" | "abort" } | {
    readonly _tag: "end.info" | "end.fail"
    readonly error: string
  }
): void => tell(kafka.world, { ...event, process, transaction } as Parameters<typeof tell>[1])

export const tellResult = (
  { kafka, number: transaction, session: { process } }: Open,
  outcome: "Committed" | "Aborted" | "Unknown",
  error: string | null = null,
  recovery: string | null = null,
  resolved = false
): void =>
  tell(kafka.world, { _tag: "result", process, transaction, outcome, resolved, error, recovery })

export const close = ({ kafka, number: transaction, session: { id, process } }: Open): void =>
  tell(kafka.world, {
    _tag: "scope.closed",
    process,
    scope: "transaction",
    id,
    transaction,
    clientId: null,
    leaked: 0
  })

export const outputAt = (world: World, partition: number): WorldPartition =>
  partitionAt(world, "out", partition)
