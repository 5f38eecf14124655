/**
 * A bracket built by hand in stages, each with one part more: what Effect itself asks for the parts
 * that a transaction of the library has, without the library.
 */
import { KafkaDriver, type ProducerSession } from "@kafka-once/core/KafkaDriver"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Semaphore from "effect/Semaphore"

/** The stages, in their order; each has all parts of those before it. */
export const stages = ["bare", "deadlines", "metrics", "events", "spans"] as const

/** One of {@link stages}. */
export type Stage = (typeof stages)[number]

/** One transaction of each stage. */
export const make = Effect.gen(function*() {
  const driver = yield* KafkaDriver
  const session = yield* driver.openSession({
    transactionalId: "hand-built",
    transactionTimeoutMillis: 15_000,
    requestTimeoutMillis: 3_000
  })
  const permit = yield* Semaphore.make(1)
  const events = yield* PubSub.sliding<object>(1_024)
  const subscription = yield* PubSub.subscribe(events)
  yield* Effect.forkScoped(Effect.forever(PubSub.takeAll(subscription)))
  const transaction = (stage: Stage) => {
    const has = (part: Stage) => stages.indexOf(part) <= stages.indexOf(stage)
    const deadline = has("deadlines") ? withDeadline : unchanged
    const span = has("spans") ? withSpan : () => unchanged
    const settled = has("metrics") ? updateMetrics : Effect.void
    const published = has("events") ? publish(events) : Effect.void
    return permit.withPermit(
      Effect.acquireUseRelease(
        span("begin")(session.begin),
        () => deadline(send(session, deadline).pipe(span("send"))),
        () => Effect.andThen(deadline(session.end("commit")).pipe(span("commit")), settled)
      ).pipe(Effect.andThen(published), span("transaction"))
    )
  }
  return transaction
})

type Part = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const unchanged: Part = (effect) => effect

const record = {
  key: null,
  value: new Uint8Array(100),
  headers: [],
  timestamp: 0n
}

/** Other callers' records travel in the same request, so that it has a fiber of its own. */
const send = (session: ProducerSession, deadline: Part) =>
  Effect.suspend(() => {
    const done = Deferred.makeUnsafe<void>()
    const request = session.send([{ topic: "topic", partition: 0, records: [record] }])
    return Effect.andThen(
      Effect.forkDetach(Effect.andThen(deadline(request), Deferred.succeed(done, undefined))),
      Deferred.await(done)
    )
  })

const withDeadline: Part = (effect) =>
  Effect.timeoutOrElse(effect, {
    duration: "5 seconds",
    orElse: () => Effect.die(new Error("a driver that does nothing took five seconds"))
  })

const withSpan = (step: string): Part => (effect) =>
  Effect.withSpan(effect, `${step} hand-built`, {
    kind: "client",
    captureStackTrace: false,
    attributes: {
      "messaging.system": "kafka",
      "messaging.operation.name": step,
      "messaging.kafka.transactional_id": "hand-built"
    }
  })

const attributes = { "messaging.kafka.transactional_id": "hand-built" }
const incremental = { attributes, incremental: true }
const open = Metric.gauge("bench.transactions.open", { attributes })
const committed = Metric.counter("bench.transactions", incremental)
const records = Metric.counter("bench.records", incremental)
const bytes = Metric.counter("bench.bytes", incremental)
const duration = Metric.histogram("bench.duration", {
  attributes,
  boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 16 })
})

const updateMetrics = Effect.all([
  Metric.update(open, 1),
  Metric.update(committed, 1),
  Metric.update(records, 1),
  Metric.update(bytes, 100),
  Metric.update(duration, 1),
  Metric.update(open, 0)
], { discard: true })

const publish = (events: PubSub.PubSub<object>) =>
  Effect.sync(() => {
    PubSub.publishUnsafe(events, { _tag: "TransactionSettled", records: 1 })
  })
