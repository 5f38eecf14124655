/**
 * A process that runs the pipeline: a member of the group like any other.
 *
 * What it tells the quickstart is for the table, and what it is told lets the quickstart kill it,
 * or cut its network, just when a transaction is half done.
 */
import * as Transaction from "@kafka-once/core/Transaction"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as TeamMember from "../teamMember.ts"
import type { Names } from "./cluster.ts"
import { driverLayer, type DriverName } from "./driver.ts"
import * as Pipeline from "./pipeline.ts"

/** What a worker is to do. */
export interface Job {
  readonly driver: DriverName
  readonly brokers: ReadonlyArray<string>
  readonly names: Names
  readonly instanceId: string
}

/** `hold` stops the next batch when all of it is sent; `go on` ends that. */
export type Order = "hold" | "go on"

/** What a worker tells. */
export type Report =
  | { readonly _tag: "Owns"; readonly partitions: number }
  | { readonly _tag: "Holds"; readonly batch: string }
  | {
    readonly _tag: "Settled"
    readonly batch: string
    readonly records: number
    readonly outcome: "Committed" | "Aborted" | "Unknown"
  }
  | { readonly _tag: "Unreachable" }
  | { readonly _tag: "Reachable" }

const report = (message: Report) => TeamMember.report(message)

// A new one whenever the worker is told to hold, and none while it is not.
let gate: Deferred.Deferred<void> | null = null
let isHolding = false

const onOrder = (order: Order): void => {
  if (order === "hold") {
    gate = Deferred.makeUnsafe()
    isHolding = false
    return
  }
  if (gate !== null) Deferred.doneUnsafe(gate, Effect.void)
  gate = null
}

const holdIfTold = (batch: string) =>
  Effect.suspend(() => {
    if (gate === null || isHolding) return Effect.void
    isHolding = true
    return Effect.andThen(report({ _tag: "Holds", batch }), Deferred.await(gate))
  })

const work = (job: Job) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const around: Parameters<typeof Pipeline.make>[2] = (records, send) =>
      Effect.gen(function*() {
        const batch = randomUUID()
        const { outcome } = yield* Transaction.Transaction
        yield* outcome.pipe(
          Effect.flatMap(({ _tag }) => report({ _tag: "Settled", batch, records, outcome: _tag })),
          Effect.forkIn(scope)
        )
        yield* send(batch)
        yield* holdIfTold(batch)
      })
    const { events, failed, positions } = yield* Pipeline.make(job.names, job.instanceId, around)
    yield* events.pipe(
      Stream.runForEach((event) => {
        switch (event._tag) {
          case "Unreachable":
          case "Reachable":
            return report({ _tag: event._tag })
          default:
            return Effect.flatMap(
              positions,
              ({ length }) => report({ _tag: "Owns", partitions: length })
            )
        }
      }),
      Effect.forkScoped({ startImmediately: true })
    )
    return yield* failed
  }).pipe(Effect.scoped, Effect.provide(driverLayer(job.driver, job.brokers)))

TeamMember.run(work, onOrder)
