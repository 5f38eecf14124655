/**
 * A process that writes flights, one transaction a day: what a user's own program would look like.
 *
 * It is told what to do in its first message, and tells its parent what became of each day.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Transaction from "@kafka-once/core/Transaction"
import * as TransactionalProducer from "@kafka-once/core/TransactionalProducer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { driverLayer, type DriverName } from "./driver.ts"
import { Flight, type FlightDay } from "./flights.ts"

/** What a worker is to do. */
export interface Job {
  readonly driver: DriverName
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  readonly days: ReadonlyArray<FlightDay>
  /** The day in whose middle the process waits to be killed. */
  readonly dieOn: string | null
}

/** What a worker tells. */
export type Report =
  | { readonly _tag: "Began" }
  | {
    readonly _tag: "Settled"
    readonly day: string
    readonly outcome: string
    readonly why: string
  }
  | { readonly _tag: "SentAgain" }
  | { readonly _tag: "HalfSent"; readonly day: string }

const report = (message: Report) => Effect.sync(() => process.send?.(message))

const decode = Schema.decodeUnknownEffect(Flight)

// A fifth of a day: an aborted day has sent some of its flights before the bad one is met.
const chunk = 50

const writeDay = (job: Job, { day, flights }: FlightDay) =>
  Stream.fromIterable(flights).pipe(
    Stream.mapEffect((flight) => decode(flight)),
    Stream.map((flight) => ({
      topic: job.topic,
      key: flight.origin,
      value: JSON.stringify(flight)
    })),
    Stream.rechunk(chunk),
    Stream.run(Transaction.sink),
    Effect.andThen(
      job.dieOn === day
        ? Effect.andThen(report({ _tag: "HalfSent", day }), Effect.never)
        : Effect.void
    )
  )

const program = (job: Job) =>
  Effect.gen(function*() {
    const producer = yield* TransactionalProducer.TransactionalProducer
    yield* producer.events.pipe(
      Stream.filter((event) => event._tag === "SessionRetired" && event.why.includes("no answer")),
      Stream.runForEach(() => report({ _tag: "SentAgain" })),
      Effect.forkScoped
    )
    yield* report({ _tag: "Began" })
    for (const day of job.days) {
      const exit = yield* writeDay(job, day).pipe(
        producer.withTransaction({ retry: Transaction.defaultSchedule }),
        Effect.exit
      )
      const why = Exit.isSuccess(exit) ? "" : String(Exit.findErrorOption(exit))
      const unknown = why.includes("CommitOutcomeUnknown")
      const outcome = Exit.isSuccess(exit) ? "committed" : unknown ? "unknown" : "aborted"
      yield* report({ _tag: "Settled", day: day.day, outcome, why })
    }
  })

const job = Effect.callback<Job>((resume) => {
  process.once("message", (message) => resume(Effect.succeed(message as Job)))
})

const main = Effect.gen(function*() {
  const given = yield* job
  const live = TransactionalProducer.layer({
    transactionalId: `${given.topic}-writer`,
    requestTimeout: "1 second"
  }).pipe(Layer.provide(driverLayer(given.driver, given.brokers)))
  yield* Effect.scoped(program(given)).pipe(Effect.provide(live))
  // The channel to the parent would keep the process alive.
  yield* Effect.sync(() => process.disconnect?.())
}).pipe(Effect.provide(Logger.layer([])))

NodeRuntime.runMain(main)
