/**
 * The leader of a partition, wherever it is: it may move between two requests, also while nothing
 * fails (the controller gives partitions back to the replica that is preferred).
 */
import type * as ProtocolClient from "@kafka-once/testing/ProtocolClient"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { type At, connect, metadata, type Reason, refused } from "./brokerRequests.ts"

export interface PartitionLeader {
  /** Asks the leader; asks again, of whoever leads then, while it answers that it does not. */
  readonly ask: <A>(
    request: (client: ProtocolClient.ProtocolClient) => Effect.Effect<A, Reason>
  ) => Effect.Effect<A, Reason>
}

const leaderNotAvailable = 5

const moved = new Set(["NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE"])

const hasMoved = (reason: Reason): boolean => reason._tag === "Refused" && moved.has(reason.error)

/** Asks for no longer than the reading as a whole may take. */
export const make = (
  at: At,
  topic: string,
  partition: number
): Effect.Effect<PartitionLeader, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    let current: ProtocolClient.ProtocolClient | null = null
    const connected = Effect.gen(function*() {
      if (current !== null) return current
      const { brokers, partitions } = yield* metadata(at, topic)
      const row = partitions.find((one) => one.partition === partition)
      const leader = brokers.find(({ nodeId }) => nodeId === row?.leaderId)
      if (leader === undefined) {
        return yield* refused(`Metadata of ${topic}-${partition}`, leaderNotAvailable)
      }
      current = yield* connect(`${leader.host}:${leader.port}`)
      return current
    }).pipe(Effect.provideService(Scope.Scope, scope))
    return {
      ask: (request) =>
        Effect.flatMap(connected, request).pipe(
          Effect.tapError((reason) =>
            Effect.sync(() => {
              if (hasMoved(reason)) current = null
            })
          ),
          Effect.retry({ while: hasMoved, schedule: Schedule.spaced("50 millis") })
        )
    }
  })
