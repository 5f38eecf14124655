import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type * as Tracer from "effect/Tracer"
import { encodeUtf8 } from "./utf8.ts"

/**
 * The metrics of every producer, by OpenTelemetry's messaging conventions where these have a name.
 * Durations are in milliseconds, as Effect's exporters expect of a histogram of times.
 */
export const metrics = {
  transactions: Metric.counter("kafka_once.transactions", {
    description: "Transactions that have ended, by outcome",
    incremental: true
  }),
  openTransactions: Metric.gauge("kafka_once.transactions.open", {
    description: "Transactions that are open now"
  }),
  transactionDuration: Metric.histogram("kafka_once.transaction.duration", {
    description: "From the begin of a transaction to its end, in milliseconds",
    boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 16 })
  }),
  sentRecords: Metric.counter("messaging.client.sent.messages", {
    description: "Records that the broker has acknowledged",
    incremental: true
  }),
  sentBytes: Metric.counter("kafka_once.sent.bytes", {
    description: "Bytes of the records that the broker has acknowledged, before compression",
    incremental: true
  }),
  retries: Metric.counter("kafka_once.transaction.retries", {
    description: "Transactions that were run again after a definite abort",
    incremental: true
  }),
  sessionsOpened: Metric.counter("kafka_once.sessions.opened", {
    description: "Producer sessions that were opened",
    incremental: true
  }),
  sessionsRetired: Metric.counter("kafka_once.sessions.retired", {
    description: "Producer sessions that were closed because something was not clean",
    incremental: true
  })
} as const

/**
 * The metrics of one producer, with its transactional id as an attribute.
 */
export const metricsOf = (transactionalId: string) => {
  const attributes = { "messaging.kafka.transactional_id": transactionalId }
  const own = <Input, State>(metric: Metric.Metric<Input, State>) =>
    Metric.withAttributes(metric, attributes)
  const outcome = (name: string) =>
    Metric.withAttributes(metrics.transactions, { ...attributes, outcome: name })
  return {
    committed: outcome("committed"),
    aborted: outcome("aborted"),
    unknown: outcome("unknown"),
    openTransactions: own(metrics.openTransactions),
    transactionDuration: own(metrics.transactionDuration),
    sentRecords: own(metrics.sentRecords),
    sentBytes: own(metrics.sentBytes),
    retries: own(metrics.retries),
    sessionsOpened: own(metrics.sessionsOpened),
    sessionsRetired: own(metrics.sessionsRetired)
  }
}

/**
 * The metrics of one producer.
 */
export type ProducerMetrics = ReturnType<typeof metricsOf>

/**
 * The span of one step of a transaction, as a child of the transaction's own span.
 *
 * Stack traces are not captured: a transaction makes several spans, and each capture costs more than
 * the span.
 */
export const withStepSpan = (
  step: "begin" | "send" | "offsets" | "commit" | "abort",
  transactionalId: string,
  parent: Tracer.AnySpan | undefined,
  attributes: Record<string, unknown>
) =>
<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withSpan(self, `${step} ${transactionalId}`, {
    kind: step === "send" ? "producer" : "client",
    captureStackTrace: false,
    ...(parent === undefined ? {} : { parent }),
    attributes: {
      "messaging.system": "kafka",
      "messaging.operation.name": step,
      "messaging.kafka.transactional_id": transactionalId,
      ...attributes
    }
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
  exit: Exit.Exit<unknown, unknown>,
  outcome: string
): Effect.Effect<void> =>
  Clock.clockWith((clock) =>
    Effect.sync(() => {
      span.attribute("kafka_once.outcome", outcome)
      span.end(clock.currentTimeNanosUnsafe(), exit)
    })
  )

/**
 * The W3C `traceparent` header of the current span, or `null` where there is none.
 */
export const traceHeader: Effect.Effect<readonly [string, Uint8Array] | null> = Effect.map(
  Effect.option(Effect.currentParentSpan),
  (span) =>
    span._tag === "None"
      ? null
      : [
        "traceparent",
        encodeUtf8(
          `00-${span.value.traceId}-${span.value.spanId}-${span.value.sampled ? "01" : "00"}`
        )
      ]
)
