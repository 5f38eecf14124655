/**
 * The requests that the log reader is made of: one connection each, bounded, with typed failures.
 */
import * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { LogReaderError, NotAnswered, Refused } from "../LogReaderError.ts"

export interface At {
  readonly bootstrapServers: ReadonlyArray<string>
  readonly limit?: Duration.Input | undefined
}

/** What a request fails with, before it is said what it was needed for. */
export type Reason = Refused | NotAnswered

export const limitMillis = (at: At): number => Duration.toMillis(at.limit ?? "20 seconds")

/**
 * Gives a reading its limit and its failures their operation. A broker is a process of its own:
 * under a test's clock the limit would never come.
 */
export const bounded = <A>(
  at: At,
  operation: string,
  reading: Effect.Effect<A, Reason>
): Effect.Effect<A, LogReaderError> =>
  reading.pipe(
    Effect.timeoutOrElse({
      duration: limitMillis(at),
      orElse: () => Effect.fail(new NotAnswered({ problem: `not within ${limitMillis(at)} ms` }))
    }),
    Effect.mapError((reason) => new LogReaderError({ operation, reason })),
    withLiveClock
  )

export const withLiveClock = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

export const refused = (request: string, code: number): Effect.Effect<never, Refused> =>
  Effect.fail(new Refused({ request, code, error: ProtocolClient.errorName(code) }))

/** Fails unless the code is that of success. */
export const accept = (request: string, code: number | undefined): Effect.Effect<void, Refused> =>
  code === undefined || code === 0 ? Effect.void : refused(request, code)

export const unanswered = (request: string) =>
<A, R>(
  effect: Effect.Effect<A, ProtocolClient.ProtocolError, R>
): Effect.Effect<A, NotAnswered, R> =>
  Effect.mapError(effect, ({ message }) => new NotAnswered({ problem: `${request}: ${message}` }))

/** Connects to an address, `host:port`. */
export const connect = (
  address: string
): Effect.Effect<ProtocolClient.ProtocolClient, NotAnswered, Scope.Scope> => {
  const at = address.lastIndexOf(":")
  return ProtocolClient.connect(address.slice(0, at), Number(address.slice(at + 1)), {
    clientId: "kafka-once-proof",
    requestTimeout: "5 seconds"
  }).pipe(unanswered("connecting"))
}

/** Connects to the first bootstrap server that takes the connection. */
const bootstrap = (at: At) => Effect.firstSuccessOf(at.bootstrapServers.map(connect))

/** The brokers, and the partitions of a topic with their leaders, in order. */
export const metadata = Effect.fnUntraced(function*(at: At, topic: string | null) {
  const client = yield* bootstrap(at)
  const { brokers, topics } = yield* client.request("Metadata", 12, {
    topics: topic === null ? [] : [{ name: topic }],
    allowAutoTopicCreation: false
  }).pipe(unanswered("Metadata"))
  for (const { errorCode } of topics) yield* accept(`Metadata of ${topic}`, errorCode)
  const partitions = (topics[0]?.partitions ?? [])
    .map(({ leaderId, partitionIndex }) => ({ partition: partitionIndex, leaderId }))
    .sort((one, other) => one.partition - other.partition)
  return { brokers, partitions }
})

const keyTypes = { group: 0, transaction: 1 } as const

/** For a coordinator that has just started, or whose topic is being made for the first asker. */
const notYet = new Set(["COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"])

/** Connects to the coordinator of a group or of a transactional id. */
export const coordinator = Effect.fnUntraced(
  function*(at: At, key: string, type: keyof typeof keyTypes) {
    const client = yield* bootstrap(at)
    const found = yield* Effect.gen(function*() {
      const { coordinators: [row] = [] } = yield* client.request("FindCoordinator", 4, {
        keyType: keyTypes[type],
        coordinatorKeys: [key]
      }).pipe(unanswered("FindCoordinator"))
      yield* accept("FindCoordinator", row?.errorCode)
      return row
    }).pipe(Effect.retry({
      while: (reason) => reason._tag === "Refused" && notYet.has(reason.error),
      schedule: Schedule.spaced("50 millis"),
      times: 200
    }))
    return yield* connect(`${found?.host}:${found?.port}`)
  }
)
