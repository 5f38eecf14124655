/**
 * What a producer session holds while it is open.
 */
import type { DriverError, SessionOptions } from "@kafka-once/core/KafkaDriver"
import type * as Effect from "effect/Effect"
import type { Producer, Transaction } from "kafkajs"
import type { Cluster } from "./cluster.ts"
import type * as SocketGate from "./socketGate.ts"

export interface Session {
  readonly options: SessionOptions
  readonly gate: SocketGate.SocketGate
  readonly producer: Producer
  readonly cluster: Cluster
  readonly run: <A>(
    body: (call: SocketGate.Call) => Promise<A>
  ) => Effect.Effect<A, DriverError>
  /** The client's open transaction. */
  transaction: Transaction | null
  /** The transaction that `initialize` has begun and no `begin` has taken yet. */
  first: Transaction | null
  /** Partitions whose next sequence kafkajs has wrong; see `send`. */
  readonly lostSequences: Set<string>
}
