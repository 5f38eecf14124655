/**
 * Ends a transaction in one partition, past its coordinator.
 */
import * as Effect from "effect/Effect"
import { DriverError, Failure } from "../../KafkaDriver.ts"
import type { TopicPartition } from "../../TopicPartition.ts"
import { NotHanging, NotOpen, type TransactionAdminError } from "../../TransactionAdminError.ts"
import { aboutPartition, ask, type Call, failed } from "./ask.ts"
import { type Candidate, describeAll, judge, openIn } from "./hanging.ts"

/** Which transaction; `startOffset` makes sure that it is still the same one. */
export interface Target extends TopicPartition {
  readonly producerId: bigint
  readonly epoch: number
  readonly coordinatorEpoch: number | null
  readonly startOffset?: bigint | null | undefined
}

export const abort = Effect.fnUntraced(function*(
  call: Call,
  target: Target,
  force: boolean
): Effect.fn.Return<void, TransactionAdminError> {
  const { partition, producerId, topic } = target
  if (!force) yield* requireHanging(call, target)
  const about = { ...aboutPartition(topic, partition), producerId }
  // A producer that never had a marker has no coordinator's epoch; 0 is above none.
  const coordinatorEpoch = Math.max(0, target.coordinatorEpoch ?? 0)
  let isFirst = true
  yield* ask(call, "WriteTxnMarkers", about, () =>
    Effect.gen(function*() {
      // A marker whose answer was lost may be there. A second one could hit the next transaction.
      const isOver = !isFirst && !force && (yield* isEnded(call, target))
      isFirst = false
      if (isOver) return
      yield* call.driver.writeAbortMarker({
        topic,
        partition,
        producerId,
        epoch: target.epoch,
        coordinatorEpoch
      })
    }))
  yield* Effect.logInfo("kafka-once: aborted a transaction in one partition", {
    topic,
    partition,
    producerId: String(producerId),
    epoch: target.epoch,
    startOffset: String(target.startOffset ?? "any"),
    force
  })
})

const findOpen = (call: Call, target: Target) =>
  Effect.map(
    describeAll(call, [target]),
    ({ found }): Candidate | null =>
      openIn(found).find((one) =>
        one.producerId === target.producerId && one.epoch === target.epoch &&
        (target.startOffset == null || one.startOffset === target.startOffset)
      ) ?? null
  )

const requireHanging = Effect.fnUntraced(function*(
  call: Call,
  target: Target
): Effect.fn.Return<void, TransactionAdminError> {
  const { partition, producerId, topic } = target
  const notOpen = failed(call, new NotOpen({ topic, partition, producerId }))
  const candidate = yield* findOpen(call, target)
  if (candidate === null) return yield* notOpen
  const [verdict] = yield* judge(call, [candidate])
  if (verdict?._tag === "Ended") return yield* notOpen
  if (verdict?._tag === "Alive") {
    const { state, timeoutMillis, transactionalId } = verdict.description
    return yield* failed(
      call,
      new NotHanging({ topic, partition, producerId, transactionalId, state, timeoutMillis })
    )
  }
})

const isEnded = (call: Call, target: Target): Effect.Effect<boolean, DriverError> =>
  findOpen(call, target).pipe(
    Effect.map((open) => open === null),
    Effect.mapError(({ reason }) =>
      new DriverError({
        request: "DescribeProducers",
        failure: Failure.NoAnswer(),
        detail: reason.message
      })
    )
  )
