import type { Request } from "@kafka-once/core/KafkaDriver"
import * as Data from "effect/Data"
import type * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"

/** The calls of the port; `close` is the end of a session's scope. */
export type Operation =
  | "probe"
  | "partitionCount"
  | "openSession"
  | "initialize"
  | "begin"
  | "send"
  | "sendOffsets"
  | "commit"
  | "abort"
  | "endMarker"
  | "committedOffsets"
  | "openConsumer"
  | "seek"
  | "heartbeat"
  | "commitOffsets"
  | "close"

/**
 * What goes wrong with a call.
 *
 * - `Answer`: the broker refuses with a code and does nothing; `partition` limits it to one batch.
 * - `ActNoAnswer`: the broker acts, and the answer is lost. `NoAnswer`: the request is lost.
 * - `NoCoordinator`: the look-up before the request is lost, and the request is never sent.
 * - `Hang`: the request is lost, and the client waits for ever. `ActHang`: the same for the answer.
 * - `Late`: no answer now; the broker acts when the test says `releaseLate`.
 * - `Delay`: the broker acts after a while; `Gate`: when the test opens it. `Die`: the client
 *   throws.
 */
export type Fault = Data.TaggedEnum<{
  Answer: { readonly code: number; readonly partition?: number; readonly request?: Request }
  NoAnswer: {}
  NoCoordinator: {}
  ActNoAnswer: {}
  NotSent: {}
  Refused: {}
  NotKafka: {}
  Hang: {}
  ActHang: {}
  Late: {}
  Delay: { readonly by: Duration.Input }
  Gate: { readonly latch: Deferred.Deferred<void> }
  Die: {}
}>

export const Fault = Data.taggedEnum<Fault>()
