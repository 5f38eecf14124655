/**
 * A driver that does nothing, so that what is left is the library's own work.
 */
import { KafkaDriver, type ProducerSession } from "@kafka-once/core/KafkaDriver"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"

/**
 * How the driver answers: at once, or in a later turn of the event loop as every real one does,
 * which makes each deadline set a timer.
 */
export type Answers = "at once" | "later"

/** A driver that acknowledges everything and sends nothing. */
export const layer = (answers: Answers): Layer.Layer<KafkaDriver> => {
  const wait = answers === "at once" ? Effect.void : Effect.yieldNow
  return Layer.sync(KafkaDriver, () =>
    KafkaDriver.of({
      name: "null",
      capabilities: {
        groupFencing: true,
        stableOffsets: true,
        epochBump: false,
        transactionVersion: 1,
        commitRetry: true,
        correctReadCommitted: true,
        revocationHold: false,
        staticMembership: false,
        consumerGroupProtocol: false,
        lastStableOffset: false
      },
      probe: Effect.void,
      partitionCount: () => Effect.succeed(1),
      openSession: () => Effect.sync(() => makeSession(wait)),
      endMarker: () => Effect.succeed("commit"),
      committedOffsets: () => Effect.succeed([]),
      openConsumer: null
    }))
}

const makeSession = (wait: Effect.Effect<void>): ProducerSession => {
  let offset = 0n
  return {
    initialize: Effect.succeed({ producerId: 1n, epoch: 0 }),
    begin: Effect.void,
    send: (batches) =>
      Effect.map(wait, () =>
        batches.map(({ records }) => {
          const baseOffset = offset
          offset += BigInt(records.length)
          return Result.succeed({ baseOffset, logAppendTime: -1n })
        })),
    sendOffsets: () => wait,
    end: () => wait
  }
}
