/**
 * The contender with the library, over either driver.
 */
import * as ExactlyOnce from "@kafka-once/core/ExactlyOnce"
import type { KafkaDriver } from "@kafka-once/core/KafkaDriver"
import * as Topic from "@kafka-once/core/Topic"
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Job } from "./PipelineJob.ts"
import type { PipelineWatch } from "./PipelineWatch.ts"

/** Runs a pipeline until all records of a job are committed. */
export const run = <E>(driver: Layer.Layer<KafkaDriver, E>) => (job: Job, watch: PipelineWatch) =>
  Effect.gen(function*() {
    const done = Deferred.makeUnsafe<void>()
    /** The records of open transactions; the parts of one share its outcome. */
    const open = new WeakMap<Transaction.Transaction["Service"]["outcome"], { records: number }>()
    const process = ({ records }: ExactlyOnceBatch) =>
      Effect.gen(function*() {
        watch.given()
        const transaction = yield* Transaction.Transaction
        yield* transaction.send(
          records.map(({ key, value }) => ({ topic: job.output, key, value }))
        )
        const known = open.get(transaction.outcome)
        if (known !== undefined) {
          known.records += records.length
          return
        }
        const whole = { records: records.length }
        open.set(transaction.outcome, whole)
        // A batch that is aborted comes again, and must not be counted twice.
        yield* Effect.forkDetach(Effect.map(transaction.outcome, (outcome) => {
          if (outcome._tag === "Committed" && watch.committed(whole.records)) {
            Deferred.doneUnsafe(done, Effect.void)
          }
        }))
      })
    yield* Effect.raceFirst(
      ExactlyOnce.run({
        groupId: job.group,
        input: Topic.make({ name: job.input }),
        outputs: [{ name: job.output }],
        batch: { records: job.batch },
        process
      }),
      Deferred.await(done)
    )
  }).pipe(Effect.provide(driver))

type ExactlyOnceBatch = Parameters<
  Parameters<
    typeof ExactlyOnce.run<Uint8Array | null, Uint8Array | null, never, never>
  >[0]["process"]
>[0]
