/**
 * Writes numbers for as long as it is let, and remembers where they end.
 */
import { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"

const perTransaction = 250

/** Starts to write; `stop` answers how many numbers there are, when they are written. */
export const start = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.make({ transactionalId: "numbers" })
  const ends = new Map<number, bigint>()
  let count = 0
  let isStopped = false
  const writeSome = Effect.gen(function*() {
    const records = Array.from({ length: perTransaction }, (_, index) => ({
      topic: "numbers",
      key: `key ${count + index}`,
      value: String(count + index)
    }))
    const written = yield* Transaction.send(records).pipe(
      producer.withTransaction({ retry: Transaction.defaultSchedule })
    )
    count += perTransaction
    for (const { offset, partition } of written) {
      if (offset >= (ends.get(partition) ?? 0n)) ends.set(partition, offset + 1n)
    }
  })
  const writing = yield* writeSome.pipe(
    Effect.repeat({ until: () => isStopped, schedule: Schedule.spaced("50 millis") }),
    Effect.forkScoped
  )
  const stop = Effect.suspend(() => {
    isStopped = true
    return Effect.map(Fiber.join(writing), () => ({ count, ends }))
  })
  return { stop }
})

/** Waits until a group has committed everything that was written. */
export const awaitDone = (groupId: string, ends: ReadonlyMap<number, bigint>) =>
  KafkaDriver.use(({ committedOffsets }) =>
    committedOffsets(
      groupId,
      [...ends.keys()].map((partition) => ({ topic: "numbers", partition }))
    )
  ).pipe(
    Effect.map((all) =>
      all.every(({ offset, partition }) => offset !== null && offset >= ends.get(partition)!)
    ),
    // The broker does not tell while a transaction has offsets pending.
    Effect.orElseSucceed(() => false),
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("200 millis") }),
    Effect.timeout("2 minutes")
  )
