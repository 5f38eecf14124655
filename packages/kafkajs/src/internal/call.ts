/**
 * One call of kafkajs as an Effect.
 */
import { DriverError, Failure } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import { classify } from "./failure.ts"
import type { Call, SocketGate } from "./socketGate.ts"

/**
 * Runs a promise of kafkajs behind a gate. Calls of one gate must not overlap.
 *
 * An interrupted call would go on inside of kafkajs, from AddPartitionsToTxn to Produce for
 * instance, and meet what is sent next. The gate is closed at once, so that nothing of it is sent
 * later (P2).
 */
export const run = <A>(
  gate: SocketGate,
  retell: (text: string) => string,
  body: (call: Call) => Promise<A>
): Effect.Effect<A, DriverError> =>
  Effect.suspend(() => {
    // kafkajs answers some calls without a request, such as the end of what it takes for empty.
    if (gate.isClosed()) return Effect.fail(closed)
    const call = gate.startCall()
    return Effect.tryPromise({
      try: () => body(call),
      catch: (error) => classify(call, error, retell)
    })
  }).pipe(Effect.onInterrupt(() => Effect.sync(gate.close)))

const closed = new DriverError({
  request: "Connect",
  failure: Failure.NotSent(),
  detail: "The session is closed"
})
