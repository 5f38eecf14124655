import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import type * as Tracer from "effect/Tracer"
import type { ProducerRecord } from "../ProducerRecord.ts"
import { encodeUtf8 } from "./utf8.ts"

/**
 * The metrics of one producer, with its transactional id as an attribute, by OpenTelemetry's
 * messaging conventions where these have a name. Durations are in milliseconds, as Effect's
 * exporters expect of a histogram of times.
 */
export const metricsOf = (transactionalId: string) => {
  // Given to each metric as it is made: `Metric.withAttributes` merges them anew at every update.
  const attributes = { "messaging.kafka.transactional_id": transactionalId }
  const counter = (name: string, description: string, more: Record<string, string> = {}) =>
    Metric.counter(name, {
      description,
      attributes: { ...attributes, ...more },
      incremental: true
    })
  const outcome = (name: string) =>
    counter("kafka_once.transactions", "Transactions that have ended, by outcome", {
      outcome: name
    })
  return {
    committed: outcome("committed"),
    aborted: outcome("aborted"),
    unknown: outcome("unknown"),
    openTransactions: Metric.gauge("kafka_once.transactions.open", {
      description: "Transactions that are open now",
      attributes
    }),
    transactionDuration: Metric.histogram("kafka_once.transaction.duration", {
      description: "From the begin of a transaction to its end, in milliseconds",
      attributes,
      boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 16 })
    }),
    sentRecords: counter(
      "messaging.client.sent.messages",
      "Records that the broker has acknowledged"
    ),
    sentBytes: counter(
      "kafka_once.sent.bytes",
      "Bytes of the records that the broker has acknowledged, before compression"
    ),
    retries: counter(
      "kafka_once.transaction.retries",
      "Transactions that were run again after a definite abort"
    ),
    sessionsOpened: counter("kafka_once.sessions.opened", "Producer sessions that were opened"),
    sessionsRetired: counter(
      "kafka_once.sessions.retired",
      "Producer sessions that were closed because something was not clean"
    )
  }
}

/**
 * What {@link metricsOf} makes.
 */
export type ProducerMetrics = ReturnType<typeof metricsOf>

/**
 * The span of one step of a transaction, as a child of the transaction's own span.
 *
 * Stack traces are not captured: a transaction makes several spans, and each capture costs more
 * than the span.
 */
export const withStepSpan = (
  step: "begin" | "offsets" | "commit" | "abort",
  transactionalId: string,
  parent: Tracer.AnySpan | undefined,
  attributes: () => Record<string, unknown> = () => ({})
) =>
<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    // A span that nobody sees still costs half of one that somebody does.
    !fiber.getRef(References.TracerEnabled)
      ? self
      : Effect.withSpan(self, `${step} ${transactionalId}`, {
        kind: "client",
        captureStackTrace: false,
        ...(parent === undefined ? {} : { parent }),
        attributes: {
          "messaging.system": "kafka",
          "messaging.operation.name": step,
          "messaging.kafka.transactional_id": transactionalId,
          ...attributes()
        }
      })
  )

/**
 * Starts the span of one `send`, or none while the tracer is off. It is ended by hand and put into
 * no context: nothing runs under it, and a context of its own for each of hundreds of calls costs
 * more than the span.
 */
export const startSendSpan = (
  transactionalId: string,
  parent: Tracer.AnySpan,
  records: ReadonlyArray<ProducerRecord>
): Effect.Effect<Tracer.Span | null> =>
  Effect.withFiber((fiber) => {
    if (!fiber.getRef(References.TracerEnabled)) return Effect.succeed(null)
    // What is no array is refused by the send itself.
    const topic = Array.isArray(records) ? records[0]?.topic : undefined
    return Effect.makeSpan(`send ${transactionalId}`, {
      kind: "producer",
      parent,
      attributes: {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.kafka.transactional_id": transactionalId,
        ...(Array.isArray(records) ? { "messaging.batch.message_count": records.length } : {}),
        ...(topic !== undefined && records.every((record) => record?.topic === topic)
          ? { "messaging.destination.name": topic }
          : {})
      }
    })
  })

/**
 * Starts the span of a whole transaction. It is ended by hand, because in the scope form the
 * transaction outlives the effect that begins it.
 */
export const startTransactionSpan = (transactionalId: string): Effect.Effect<Tracer.Span> =>
  Effect.makeSpan(`transaction ${transactionalId}`, {
    kind: "client",
    attributes: {
      "messaging.system": "kafka",
      "messaging.kafka.transactional_id": transactionalId
    }
  })

/**
 * Ends the span of a whole transaction.
 */
export const endSpan = (
  span: Tracer.Span,
  clock: Clock.Clock,
  exit: Exit.Exit<unknown, unknown>,
  outcome: string
): void => {
  span.attribute("kafka_once.outcome", outcome)
  span.end(clock.currentTimeNanosUnsafe(), exit)
}

/**
 * The W3C `traceparent` header of a span.
 */
export const traceHeaderOf = ({ sampled, spanId, traceId }: Tracer.Span) =>
  ["traceparent", encodeUtf8(`00-${traceId}-${spanId}-${sampled ? "01" : "00"}`)] as const
