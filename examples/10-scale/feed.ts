/**
 * Writes numbers for as long as it is let, and remembers where they end.
 */
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Ends from "../ends.ts"

const perTransaction = 250

/** Starts to write; `stop` answers how many numbers there are, when they are written. */
export const start = Effect.gen(function*() {
  const producer = yield* TransactionalProducer.make({ transactionalId: "numbers" })
  const ends: Ends.Ends = new Map()
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
    Ends.note(ends, written)
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
