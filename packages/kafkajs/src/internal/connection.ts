/**
 * A long-lived kafkajs client for requests that belong to no producer: opened when first needed,
 * and opened anew after it failed.
 */
import type { Settings } from "@kafka-once/core/ConnectionOptions"
import { DriverError, Failure } from "@kafka-once/core/DriverError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Call from "./call.ts"
import * as Client from "./client.ts"
import type { Cluster } from "./cluster.ts"
import type { Logging } from "./logging.ts"
import * as SocketGate from "./socketGate.ts"

export interface Connection {
  /** Runs calls one after the other; a failed one that was not answered closes the client. */
  readonly run: <A>(body: (cluster: Cluster) => Promise<A>) => Effect.Effect<A, DriverError>
}

interface Opened {
  readonly gate: SocketGate.SocketGate
  readonly cluster: Cluster
}

export const make = Effect.fnUntraced(function*(
  settings: Settings,
  logging: Logging,
  requestTimeoutMillis: number
): Effect.fn.Return<Connection, never, Scope.Scope> {
  let connection: Opened | null = null
  let isClosed = false
  let turn = 0
  const retell = Client.retell(settings)
  // Calls of one gate must not overlap, or the failure of one would be told by the requests of
  // another.
  const oneAtATime = (yield* Semaphore.make(1)).withPermit

  const drop = Effect.suspend(() => {
    const dropped = connection
    connection = null
    return dropped === null ? Effect.void : close(dropped)
  })
  yield* Effect.addFinalizer(() => {
    isClosed = true
    return drop
  })

  const connectOnce = Effect.suspend(() => {
    // Nobody would close it.
    if (isClosed) return Effect.fail(closed)
    const gate = SocketGate.make()
    const client = Client.make(settings, gate, logging, requestTimeoutMillis, turn++)
    const opened = { gate, cluster: client.createCluster() }
    connection = opened
    return Effect.as(Call.run(gate, retell, () => opened.cluster.connect()), opened)
  })
  const connected = Effect.suspend(() =>
    connection !== null && !connection.gate.isClosed() && connection.cluster.isConnected()
      ? Effect.succeed(connection)
      : Effect.andThen(drop, connectOnce).pipe(
        Effect.tapError(() => drop),
        // Each bootstrap address is tried once.
        Effect.retry({
          times: settings.brokers.length - 1,
          while: ({ failure }) => failure._tag === "NotSent" || failure._tag === "NoAnswer"
        })
      )
  )

  return {
    run: (body) =>
      connected.pipe(
        Effect.flatMap(({ cluster, gate }) => Call.run(gate, retell, () => body(cluster))),
        // After a refusal the connection is as good as before; after anything else it is not.
        Effect.tapError(({ failure }) => failure._tag === "Answered" ? Effect.void : drop),
        oneAtATime
      )
  }
})

const closed = new DriverError({
  request: "Connect",
  failure: Failure.NotSent(),
  detail: "The scope of the driver, or of the consumer's session, is closed"
})

const closeMillis = 250

const close = ({ cluster, gate }: Opened): Effect.Effect<void> =>
  Effect.sync(gate.close).pipe(
    Effect.andThen(Effect.tryPromise(() => cluster.disconnect())),
    Effect.timeout(closeMillis),
    // Its sockets are gone, whatever kafkajs says to this.
    Effect.ignore
  )

/** Asks for these topics anew, and for no other. */
export const findTopics = (cluster: Cluster, topics: ReadonlyArray<string>): Promise<void> => {
  cluster.targetTopics.clear()
  return cluster.addMultipleTargetTopics(topics)
}
