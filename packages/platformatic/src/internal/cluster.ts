/**
 * What is known of the cluster: its brokers, the leaders of partitions and the coordinators, each
 * forgotten when an answer shows that it is out of date.
 */
import type { DriverError } from "@kafka-once/core/KafkaDriver"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Address } from "./address.ts"
import * as Brokers from "./brokers.ts"
import { answered, isSilence } from "./failure.ts"
import * as Lookups from "./lookups.ts"
import * as MarkerWait from "./markerWait.ts"
import type { Message } from "./message.ts"
import type { Settings } from "./settings.ts"

export interface Topic {
  readonly code: number
  /** What the broker calls it; `null` before Kafka 2.8. */
  readonly topicId: string | null
  readonly partitionCount: number
  /** The leader of each partition that has one. */
  readonly leaders: ReadonlyMap<number, Address>
  /** Why a partition cannot be written to. */
  readonly codeOf: (partition: number) => number
}

export interface Cluster {
  /** One request to any broker. */
  readonly anywhere: <A>(message: Message<A>) => Effect.Effect<A, DriverError>
  /** One request to one broker; where it is not there what is known is forgotten. */
  readonly request: <A>(
    address: Address,
    message: Message<A>,
    timeoutMillis: number
  ) => Effect.Effect<A, DriverError>
  /** The topics as they are remembered, where they are; otherwise, or with `anew`, asked for. */
  readonly topics: (
    names: ReadonlyArray<string>,
    anew: boolean
  ) => Effect.Effect<ReadonlyMap<string, Topic>, DriverError>
  readonly forgetTopic: (name: string) => void
  readonly coordinator: (
    of: Lookups.CoordinatorOf,
    id: string
  ) => Effect.Effect<Address, DriverError>
  /** Forgets a coordinator where this answer or failure of it says that it moved. */
  readonly noteCoordinator: (of: Lookups.CoordinatorOf, id: string, error: DriverError) => void
  /**
   * The transaction protocol of the next transaction. It is asked for anew when what is known has
   * become old.
   */
  readonly transactionVersion: Effect.Effect<1 | 2>
  readonly markerWait: MarkerWait.MarkerWait
}

interface Known {
  readonly topic: Topic
  readonly atMillis: number
}

/** So many coordinators are remembered at most. */
const mostCoordinators = 20_000

export const make = Effect.fnUntraced(function*(
  settings: Settings
): Effect.fn.Return<Cluster, never, Scope.Scope> {
  const brokers = yield* Brokers.make(settings)
  const bootstrap = settings.brokers
  const topics = new Map<string, Known>()
  const coordinators = new Map<string, Address>()
  let known: ReadonlyArray<Address> = []
  let turn = 0
  let featuresAtMillis = -Infinity
  // Those who wait for the same look-up find its result remembered when they have their turn.
  const oneLookUp = (yield* Semaphore.make(1)).withPermit

  /** Brokers with a connection first; then the others, and the addresses that were given. */
  const candidates = (): ReadonlyArray<Address> => {
    const all = new Map<string, Address>()
    const rotated = rotate(bootstrap, turn++)
    const every = [...rotate(known, turn), ...rotated]
    for (const one of every.filter(brokers.isConnected)) all.set(Brokers.keyOf(one), one)
    for (const one of every) all.set(Brokers.keyOf(one), one)
    return [...all.values()].slice(0, mostCandidates)
  }

  const anywhere = <A>(message: Message<A>): Effect.Effect<A, DriverError> => {
    const attempt = ([first, ...rest]: ReadonlyArray<Address>): Effect.Effect<A, DriverError> =>
      first === undefined
        ? Effect.fail(answered(message.request, coordinatorNotAvailable))
        : Effect.catch(
          brokers.request(first, message, settings.requestTimeoutMillis),
          (error) => rest.length > 0 && isSilence(error) ? attempt(rest) : Effect.fail(error)
        )
    return Effect.suspend(() => attempt(candidates()))
  }

  const askTopics = (names: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const answer = yield* anywhere(Lookups.metadata(names))
      const atMillis = yield* Clock.currentTimeMillis
      const byId = new Map(answer.brokers.map(({ host, nodeId, port }) => [nodeId, { host, port }]))
      if (byId.size > 0) known = [...byId.values()]
      for (const one of answer.topics) topics.set(one.name, { topic: topicOf(one, byId), atMillis })
    })

  const remembered = (names: ReadonlyArray<string>, sinceMillis: number) => {
    const found = new Map<string, Topic>()
    for (const name of names) {
      const entry = topics.get(name)
      if (entry !== undefined && entry.atMillis >= sinceMillis) found.set(name, entry.topic)
    }
    return found.size === new Set(names).size ? found : null
  }

  const noteCoordinator: Cluster["noteCoordinator"] = (of, id, { failure, request }) => {
    const moved = failure._tag === "Answered"
      ? movedCodes.has(failure.code)
      : failure._tag !== "Refused"
    if (moved && request !== "FindCoordinator") coordinators.delete(`${of}/${id}`)
  }

  return {
    anywhere,
    request: brokers.request,
    topics: (names, anew) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const sinceMillis = anew ? now : now - settings.metadataMaxAgeMillis
        const found = anew ? null : remembered(names, sinceMillis)
        if (found !== null) return Effect.succeed(found)
        return oneLookUp(Effect.suspend(() => {
          const meanwhile = remembered(names, sinceMillis)
          if (meanwhile !== null) return Effect.succeed(meanwhile)
          return Effect.map(
            askTopics(names),
            () => remembered(names, -Infinity) ?? new Map<string, Topic>()
          )
        }))
      }),
    forgetTopic: (name) => {
      topics.delete(name)
    },
    coordinator: (of, id) =>
      Effect.suspend(() => {
        const address = coordinators.get(`${of}/${id}`)
        return address === undefined
          ? Effect.flatMap(anywhere(Lookups.findCoordinator(of, id)), ({ code, host, port }) => {
            if (code !== 0) return Effect.fail(answered("FindCoordinator", code))
            const [oldest] = coordinators.keys()
            if (coordinators.size >= mostCoordinators && oldest !== undefined) {
              coordinators.delete(oldest)
            }
            coordinators.set(`${of}/${id}`, { host, port })
            return Effect.succeed({ host, port })
          })
          : Effect.succeed(address)
      }),
    noteCoordinator,
    markerWait: MarkerWait.make(),
    transactionVersion: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (now - featuresAtMillis < settings.metadataMaxAgeMillis) {
        return Effect.succeed(brokers.transactionVersion())
      }
      const isFirst = featuresAtMillis === -Infinity
      featuresAtMillis = now
      const [address] = candidates()
      // The connections that are open have told it once already.
      if (isFirst || address === undefined) return Effect.succeed(brokers.transactionVersion())
      return brokers.askFeatures(address).pipe(
        // What is known stays right until a broker says otherwise.
        Effect.ignore,
        Effect.map(() => brokers.transactionVersion())
      )
    })
  }
})

const mostCandidates = 8

const coordinatorNotAvailable = 15

/** COORDINATOR_NOT_AVAILABLE and NOT_COORDINATOR. */
const movedCodes: ReadonlySet<number> = new Set([15, 16])

const rotate = <A>(list: ReadonlyArray<A>, by: number): ReadonlyArray<A> => {
  const at = list.length === 0 ? 0 : by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

const unknownTopicOrPartition = 3
const leaderNotAvailable = 5

const topicOf = (
  { errorCode, partitions, topicId }: Lookups.Metadata["topics"][number],
  brokers: ReadonlyMap<number, Address>
): Topic => {
  const leaders = new Map<number, Address>()
  const codes = new Map<number, number>()
  for (const { errorCode, leaderId, partitionIndex } of partitions) {
    const leader = brokers.get(leaderId)
    if (leader === undefined) codes.set(partitionIndex, errorCode || leaderNotAvailable)
    // A partition with a leader can be written to, whatever is wrong with its other replicas.
    else leaders.set(partitionIndex, leader)
  }
  return {
    code: errorCode,
    topicId,
    partitionCount: partitions.length,
    leaders,
    codeOf: (partition) => errorCode || (codes.get(partition) ?? unknownTopicOrPartition)
  }
}
