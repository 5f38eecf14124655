/** What a session is made of, for the modules that act on it. */
import type { DriverError, End, SessionOptions } from "@kafka-once/core/KafkaDriver"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Cluster } from "./cluster.ts"
import { notSent } from "./failure.ts"
import type { Message } from "./message.ts"
import type { Actor, TransactionVersion } from "./requests.ts"
import type { Sequences } from "./sequences.ts"
import type { Settings } from "./settings.ts"

export interface OpenTransaction {
  /** The protocol is chosen once for each transaction. */
  readonly protocol: TransactionVersion
  /** The partitions and groups that the coordinator has acknowledged, at version 1. */
  readonly partitions: Set<string>
  readonly groups: Set<string>
  /** Whether the coordinator may know of the transaction. */
  mayBeRegistered: boolean
  /** How it was asked to end. Only the same may be asked again (I8). */
  ending: End | null
}

export interface SessionState {
  readonly settings: Settings
  readonly cluster: Cluster
  readonly options: SessionOptions
  readonly sequences: Sequences
  actor: Actor
  transaction: OpenTransaction | null
  /** When the last transaction ended whose markers may not be written yet. */
  endedAtMillis: number | null
  closed: boolean
}

export const monotonicMillisOf = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** What is sent only while the session is open. */
export const whileOpen = <A>(
  state: SessionState,
  { request }: Pick<Message<unknown>, "request">,
  effect: Effect.Effect<A, DriverError>
): Effect.Effect<A, DriverError> =>
  Effect.suspend(() =>
    state.closed ? Effect.fail(notSent(request, "The session is closed")) : effect
  )

/** A request to the coordinator of the transaction or of a group. */
export const coordinate = <A>(
  state: SessionState,
  of: "group" | "transaction",
  id: string,
  message: Message<A>,
  check: (answer: A) => DriverError | null
): Effect.Effect<A, DriverError> =>
  whileOpen(state, message, state.cluster.coordinator(of, id)).pipe(
    Effect.flatMap((address) =>
      whileOpen(
        state,
        message,
        state.cluster.request(address, message, state.options.requestTimeoutMillis)
      )
    ),
    Effect.flatMap((answer) => {
      const error = check(answer)
      return error === null ? Effect.succeed(answer) : Effect.fail(error)
    }),
    Effect.tapError((error) => Effect.sync(() => state.cluster.noteCoordinator(of, id, error)))
  )

/** A registration that was refused has changed nothing; one without an answer may have. */
export const noteRegistration =
  (transaction: OpenTransaction) =>
  <A>(registration: Effect.Effect<A, DriverError>): Effect.Effect<A, DriverError> =>
    Effect.onExit(registration, (exit) =>
      Effect.sync(() => {
        const error = Option.getOrNull(Exit.findErrorOption(exit))
        transaction.mayBeRegistered ||= error === null || isUnanswered(error)
      }))

const isUnanswered = ({ failure }: DriverError): boolean =>
  failure._tag === "NoAnswer" || failure._tag === "NotKafka"
