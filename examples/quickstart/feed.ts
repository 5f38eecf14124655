/**
 * Writes the input.
 */
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Ends from "../ends.ts"
import type { Cluster } from "./cluster.ts"
import type { Line } from "./flights.ts"

const transactionRecords = 5_000

/** A layer of the producer of the input. */
export const layer = ({ names }: Cluster) =>
  TransactionalProducer.layer({ transactionalId: `${names.group}-feed` })

/** Writes lines, some thousand in a transaction, and notes in `ends` where they are. */
export const write = (topic: string, lines: ReadonlyArray<Line>, ends: Ends.Ends) =>
  Effect.gen(function*() {
    const producer = yield* TransactionalProducer.TransactionalProducer
    for (let from = 0; from < lines.length; from += transactionRecords) {
      const records = lines.slice(from, from + transactionRecords)
        .map(({ key, value }) => ({ topic, key, value }))
      const written = yield* Transaction.send(records).pipe(
        producer.withTransaction({ retry: Transaction.defaultSchedule })
      )
      Ends.note(ends, written)
    }
  })
